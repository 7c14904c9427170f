/* Integers times real numbers, as TensorFlow Lite's reference kernels compute them.
 *
 * A real number is multiplier * 2 ** (shift - 31). Shifts of negative numbers to the right are
 * arithmetic, as gcc, clang, armclang and IAR compile them.
 */
#ifndef NET_FIXED_POINT_H
#define NET_FIXED_POINT_H

#include <stdint.h>

static inline int32_t net_clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

/* value * 2 ** bits, as int32 wraps. */
static inline int32_t net_shift_left(int32_t value, int32_t bits) {
  return (int32_t)((uint32_t)value << bits);
}

/* value * 2 ** bits within int32. */
static inline int32_t net_saturating_left(int32_t value, int32_t bits) {
  const int64_t wide = (int64_t)value * ((int64_t)1 << bits);
  return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* SaturatingRoundingDoublingHighMul: round(a * b / 2 ** 31), ties up. */
static inline int32_t net_high_mul(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* RoundingDivideByPOT: value / 2 ** exponent, ties away from zero. */
static inline int32_t net_rounding_divide(int32_t value, int32_t exponent) {
  const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1);
  const int32_t threshold = (mask >> 1) + (value < 0 ? 1 : 0);
  return (value >> exponent) + ((value & mask) > threshold ? 1 : 0);
}

/* MultiplyByQuantizedMultiplier with two roundings. */
static inline int32_t net_multiply(int32_t value, int32_t multiplier, int32_t shift) {
  if (shift > 0) return net_high_mul(net_shift_left(value, shift), multiplier);
  return net_rounding_divide(net_high_mul(value, multiplier), -shift);
}

/* MultiplyByQuantizedMultiplier with one rounding, ties up. */
static inline int32_t net_multiply_once(int32_t value, int32_t multiplier, int32_t shift) {
  const int32_t right = 31 - shift;
  const int64_t product = (int64_t)value * multiplier;
  return (int32_t)((product + ((int64_t)1 << (right - 1))) >> right);
}

/* A sum of products as the integer of a result. A multiplier that is not negative makes no product
 * and no rounding leave int32, so that most shifts need less than net_multiply. */
static inline int8_t net_finish(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero,
                                int32_t low, int32_t high) {
  if (shift >= 0) return (int8_t)net_clamp(net_multiply(sum, multiplier, shift) + zero, low, high);
  sum = (int32_t)(((int64_t)sum * multiplier + ((int64_t)1 << 30)) >> 31);
  sum = (((sum - (sum < 0)) >> (-shift - 1)) + 1) >> 1;
  return (int8_t)net_clamp(sum + zero, low, high);
}

/* Number of zero bits above the highest one. */
static inline int32_t net_leading_zeros(uint32_t value) {
  int32_t count = 0;
  if (value == 0) return 32;
  while ((value & 0x80000000u) == 0) {
    value <<= 1;
    ++count;
  }
  return count;
}

#endif
