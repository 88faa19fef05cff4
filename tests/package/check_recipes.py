# SPDX-License-Identifier: Apache-2.0
"""What can be said of the package managers' recipes without them: they parse, and name the project's own version and dependencies."""
import json
import os
import re
import sys


def main(root, version):
    said = []
    folder = os.path.join(root, "packaging")
    with open(os.path.join(folder, "vcpkg", "vcpkg.json"), encoding="utf-8") as f:
        port = json.load(f)
    names = {d if isinstance(d, str) else d["name"] for d in port["dependencies"]}
    if port["version"] != version:
        said.append(f"vcpkg.json says version {port['version']}, the project {version}")
    with open(os.path.join(folder, "vcpkg", "portfile.cmake"), encoding="utf-8") as f:
        portfile = f.read()
    with open(os.path.join(root, "CMakeLists.txt"), encoding="utf-8") as f:
        options = set(re.findall(r"option\((LOOPSERVE_\w+)", f.read()))
    for option in set(re.findall(r"LOOPSERVE_\w+", portfile)) - options:
        said.append(f"portfile.cmake sets {option}, which is no option of the project")

    with open(os.path.join(folder, "conan", "conanfile.py"), encoding="utf-8") as f:
        recipe = f.read()
    compile(recipe, "conanfile.py", "exec")
    found = re.search(r'^\s+version = "(.*)"', recipe, re.M)
    if not found or found.group(1) != version:
        said.append(f"conanfile.py does not say version {version}")
    for vcpkg, conan in (("jansson", "jansson"), ("pcre2", "pcre2"), ("utf8proc", "utf8proc"), ("eigen3", "eigen")):
        if vcpkg not in names:
            said.append(f"vcpkg.json does not depend on {vcpkg}")
        if f'requires("{conan}/' not in recipe:
            said.append(f"conanfile.py does not require {conan}")

    with open(os.path.join(root, "include", "loopserve", "version.hpp"), encoding="utf-8") as f:
        header = f.read()
    numbers = ".".join(re.search(rf"int {part} = (\d+);", header).group(1) for part in ("major", "minor", "patch"))
    if numbers != version:
        said.append(f"version.hpp says {numbers}, the project {version}")
    print("\n".join(said) if said else f"recipes agree on version {version}")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
