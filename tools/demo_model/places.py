# SPDX-License-Identifier: Apache-2.0
"""Where the tools find things, wherever they are started from."""

import os

HERE = os.path.dirname(os.path.abspath(__file__))
DEMO_MODEL = os.path.normpath(os.path.join(HERE, "../../assets/demo-model"))
TOKENIZER = os.path.join(DEMO_MODEL, "tokenizer.json")
FILLER = os.path.join(HERE, "filler.txt")
