/* Arm's DSP intrinsics that the kernels use, in C for any processor (Arm C Language Extensions). */
#ifndef ARM_ACLE_H
#define ARM_ACLE_H

#include <stdint.h>

typedef int32_t int8x4_t;
typedef int32_t int16x2_t;

static inline int32_t emulated_half(int32_t pair, int upper) {
  return (int16_t)((uint32_t)pair >> (upper ? 16 : 0));
}

static inline int32_t emulated_byte(int32_t word, int number) {
  return (int8_t)((uint32_t)word >> (8 * number));
}

static inline int16x2_t emulated_pair(int32_t lower, int32_t upper) {
  return (int32_t)((uint32_t)(uint16_t)lower | (uint32_t)(uint16_t)upper << 16);
}

static inline int16x2_t __sxtab16(int16x2_t pair, int8x4_t word) {
  return emulated_pair(emulated_half(pair, 0) + emulated_byte(word, 0),
                       emulated_half(pair, 1) + emulated_byte(word, 2));
}

static inline int16x2_t __sxtb16(int8x4_t word) { return __sxtab16(0, word); }

static inline int32_t __smlabb(int32_t a, int32_t b, int32_t sum) {
  return sum + emulated_half(a, 0) * emulated_half(b, 0);
}

static inline int32_t __smlatt(int32_t a, int32_t b, int32_t sum) {
  return sum + emulated_half(a, 1) * emulated_half(b, 1);
}

static inline int32_t __smlad(int16x2_t a, int16x2_t b, int32_t sum) {
  return __smlatt(a, b, __smlabb(a, b, sum));
}

#endif
