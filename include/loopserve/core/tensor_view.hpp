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
  LOOPSERVE_HOST_DEVICE constexpr tensor_view(T* data, extents_type extents) : data_(data), extents_(extents) {
    index_t stride = 1;
    for (int r = Rank - 1; r >= 0; --r) {
      strides_[r] = stride;
      stride *= extents_[r];
    }
  }

  LOOPSERVE_HOST_DEVICE constexpr tensor_view(T* data, extents_type extents, extents_type strides)
      : data_(data), extents_(extents), strides_(strides) {}

  /// A view of `U` serves where one of `U const` is asked for.
  template <class U>
    requires(std::is_convertible_v<U (*)[], T (*)[]>)
  LOOPSERVE_HOST_DEVICE constexpr tensor_view(tensor_view<U, Rank> other)
      : data_(other.data()), extents_(other.extents()), strides_(other.strides()) {}

  static constexpr int rank() { return Rank; }
  LOOPSERVE_HOST_DEVICE constexpr T* data() const { return data_; }
  LOOPSERVE_HOST_DEVICE constexpr index_t extent(int r) const { return extents_[r]; }
  LOOPSERVE_HOST_DEVICE constexpr index_t stride(int r) const { return strides_[r]; }
  LOOPSERVE_HOST_DEVICE constexpr extents_type extents() const { return extents_; }
  LOOPSERVE_HOST_DEVICE constexpr extents_type strides() const { return strides_; }

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
    std::array<index_t, Rank - 1> extents{};
    std::array<index_t, Rank - 1> strides{};
    for (int r = 1; r < Rank; ++r) {
      extents[r - 1] = extents_[r];
      strides[r - 1] = strides_[r];
    }
    return {data_ + i * strides_[0], extents, strides};
  }

  /// `count` slices from `first` on along the slowest axis.
  LOOPSERVE_HOST_DEVICE constexpr tensor_view rows(index_t first, index_t count) const {
    auto extents = extents_;
    extents[0] = count;
    return {data_ + first * strides_[0], extents, strides_};
  }

 private:
  T* data_ = nullptr;
  extents_type extents_{};
  extents_type strides_{};
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
