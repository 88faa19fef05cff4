// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <loopserve/model/bad_file.hpp>

namespace loopserve {

/// A file's bytes, mapped read-only; nothing is read before it is looked at. The file must not be cut short while it is mapped.
class mapped_file {
 public:
  /// Throws format_error where `path` is not a regular file that can be read.
  explicit mapped_file(std::string path) : path_(std::move(path)) {
    int const descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) { bad_file(path_, "opening it", "a file that can be read", std::strerror(errno)); }
    struct stat status {};
    bool const regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    if (regular && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    int const why = errno;
    ::close(descriptor);
    if (!regular) { bad_file(path_, "opening it", "a regular file", "a folder or a device"); }
    if (data_ == MAP_FAILED) {
      data_ = nullptr;
      bad_file(path_, "mapping it", std::to_string(size_) + " bytes of address space", std::strerror(why));
    }
  }

  mapped_file(mapped_file&& other) noexcept
      : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  mapped_file& operator=(mapped_file other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~mapped_file() {
    if (data_ != nullptr) { ::munmap(data_, size_); }
  }

  std::string const& path() const { return path_; }
  std::span<unsigned char const> bytes() const { return {static_cast<unsigned char const*>(data_), size_}; }

 private:
  std::string path_;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace loopserve
