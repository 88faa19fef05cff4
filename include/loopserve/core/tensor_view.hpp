// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include <loopserve/core/config.hpp>
#include <loopserve/core/ids.hpp>

namespace loopserve {

/// A pointer with extents and strides (in elements), slowest axis first; it owns nothing and is trivially copyable.
/// The words are mdspan's; this stands in for it because libstdc++ 12 has none.
template <class T, int Rank>
class tensor_view {
  static_assert(Rank >= 1);

 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using extents_type = std::array<index_t, Rank>;

  constexpr tensor_view() = default;

  /// Dense, row-major.
  constexpr tensor_view(T* data, extents_type extents) : data_(data) {
    index_t stride = 1;
    for (int r = Rank - 1; r >= 0; --r) {
      extents_[r] = extents[r];
      strides_[r] = stride;
      stride *= extents_[r];
    }
  }

  constexpr tensor_view(T* data, extents_type extents, extents_type strides) : data_(data) {
    for (int r = 0; r < Rank; ++r) {
      extents_[r] = extents[r];
      strides_[r] = strides[r];
    }
  }

  /// A view of `U` serves where one of `U const` is asked for.
  template <class U>
    requires(std::is_convertible_v<U (*)[], T (*)[]>)
  LOOPSERVE_HOST_DEVICE constexpr tensor_view(tensor_view<U, Rank> other) : data_(other.data()) {
    for (int r = 0; r < Rank; ++r) {
      extents_[r] = other.extent(r);
      strides_[r] = other.stride(r);
    }
  }

  static constexpr int rank() { return Rank; }
  LOOPSERVE_HOST_DEVICE constexpr T* data() const { return data_; }
  LOOPSERVE_HOST_DEVICE constexpr index_t extent(int r) const { return extents_[r]; }
  LOOPSERVE_HOST_DEVICE constexpr index_t stride(int r) const { return strides_[r]; }
  constexpr extents_type extents() const { return listed(extents_); }
  constexpr extents_type strides() const { return listed(strides_); }

  LOOPSERVE_HOST_DEVICE constexpr index_t size() const {
    index_t n = 1;
    for (auto e : extents_) { n *= e; }
    return n;
  }

  template <std::convertible_to<index_t>... Index>
    requires(sizeof...(Index) == Rank)
  LOOPSERVE_HOST_DEVICE constexpr T& operator()(Index... index) const {
    index_t offset = 0;
    int r = 0;
    ((offset += static_cast<index_t>(index) * strides_[r++]), ...);
    return data_[offset];
  }

  /// The `i`-th slice along the slowest axis.
  LOOPSERVE_HOST_DEVICE constexpr tensor_view<T, Rank - 1> operator[](index_t i) const
    requires(Rank > 1)
  {
    tensor_view<T, Rank - 1> slice;
    slice.data_ = data_ + i * strides_[0];
    for (int r = 1; r < Rank; ++r) {
      slice.extents_[r - 1] = extents_[r];
      slice.strides_[r - 1] = strides_[r];
    }
    return slice;
  }

  /// `count` slices from `first` on along the slowest axis.
  LOOPSERVE_HOST_DEVICE constexpr tensor_view rows(index_t first, index_t count) const {
    auto part = *this;
    part.data_ += first * strides_[0];
    part.extents_[0] = count;
    return part;
  }

 private:
  template <class, int>
  friend class tensor_view;

  static constexpr extents_type listed(index_t const (&values)[Rank]) {
    extents_type list{};
    for (int r = 0; r < Rank; ++r) { list[r] = values[r]; }
    return list;
  }

  // Arrays of the language: device code may not call std::array's members.
  T* data_ = nullptr;
  index_t extents_[Rank] = {};
  index_t strides_[Rank] = {};
};

/// What operations ask of a tensor: extents, strides, data, and elements by index.
template <class View>
concept tensor_view_like = requires(View v, int r) {
  typename View::element_type;
  typename View::value_type;
  { View::rank() } -> std::convertible_to<int>;
  { v.extent(r) } -> std::convertible_to<index_t>;
  { v.stride(r) } -> std::convertible_to<index_t>;
  { v.data() } -> std::convertible_to<typename View::element_type*>;
};

}  // namespace loopserve
