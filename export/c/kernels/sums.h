/* Sums of products, four results at a time.
 *
 * Arm's DSP instructions multiply two pairs of 16 bits at once; they are used where the compiler
 * has them, unless NET_PORTABLE is defined. Sums are the same integers either way.
 */
#ifndef NET_SUMS_H
#define NET_SUMS_H

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_BIG_ENDIAN) && !defined(NET_PORTABLE)
#define NET_DSP
#include <arm_acle.h>

/* Four numbers from any address. */
static inline uint32_t net_word(const int8_t *from) {
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

/* The same number of 16 bits twice. */
static inline uint32_t net_pair(int32_t value) {
  return ((uint32_t)value & 0xffffu) * 0x10001u;
}

/* Numbers 0 and 2 of a word, each plus a number of a pair. */
static inline uint32_t net_even(uint32_t pair, uint32_t word) {
  return (uint32_t)__sxtab16((int16x2_t)pair, (int8x4_t)word);
}

/* Numbers 1 and 3 of a word, each plus a number of a pair. */
static inline uint32_t net_odd(uint32_t pair, uint32_t word) {
#if defined(__GNUC__) && defined(__arm__)
  uint32_t sums;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(sums) : "r"(pair), "r"(word));
  return sums;
#else
  return (uint32_t)__sxtab16((int16x2_t)pair, (int8x4_t)(word >> 8 | word << 24));
#endif
}

/* Numbers 0 and 2, 1 and 3 of a word. */
static inline uint32_t net_even_of(uint32_t word) { return (uint32_t)__sxtb16((int8x4_t)word); }

static inline uint32_t net_odd_of(uint32_t word) {
#if defined(__GNUC__) && defined(__arm__)
  uint32_t pair;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
#else
  return net_even_of(word >> 8 | word << 24);
#endif
}

static inline int32_t net_smlad(uint32_t a, uint32_t b, int32_t sum) {
  return __smlad((int16x2_t)a, (int16x2_t)b, sum);
}
#endif

/* sums[k] += sum of (x[c] - zero) * w[k * stride + c] over `count` numbers. */
static inline void net_dot4(const int8_t *x, const int8_t *w, int32_t stride, int32_t count,
                            int32_t zero, int32_t *sums) {
  const int8_t *w0 = w, *w1 = w0 + stride, *w2 = w1 + stride, *w3 = w2 + stride;
  const int8_t *const end = x + count;
  int32_t sum0 = sums[0], sum1 = sums[1], sum2 = sums[2], sum3 = sums[3];
#ifdef NET_DSP
  const uint32_t offsets = net_pair(-zero);
  const int8_t *const words = x + (count & ~3);
  while (x != words) {
    const uint32_t numbers = net_word(x);
    const uint32_t even = net_even(offsets, numbers), odd = net_odd(offsets, numbers);
    uint32_t word = net_word(w0);
    sum0 = net_smlad(even, net_even_of(word), net_smlad(odd, net_odd_of(word), sum0));
    word = net_word(w1);
    sum1 = net_smlad(even, net_even_of(word), net_smlad(odd, net_odd_of(word), sum1));
    word = net_word(w2);
    sum2 = net_smlad(even, net_even_of(word), net_smlad(odd, net_odd_of(word), sum2));
    word = net_word(w3);
    sum3 = net_smlad(even, net_even_of(word), net_smlad(odd, net_odd_of(word), sum3));
    x += 4;
    w0 += 4;
    w1 += 4;
    w2 += 4;
    w3 += 4;
  }
#endif
  while (x != end) {
    const int32_t value = *x++ - zero;
    sum0 += value * *w0++;
    sum1 += value * *w1++;
    sum2 += value * *w2++;
    sum3 += value * *w3++;
  }
  sums[0] = sum0;
  sums[1] = sum1;
  sums[2] = sum2;
  sums[3] = sum3;
}

/* sum + sum of (x[c] - zero) * w[c] over `count` numbers. */
static inline int32_t net_dot(const int8_t *x, const int8_t *w, int32_t count, int32_t zero,
                              int32_t sum) {
  const int8_t *const end = x + count;
#ifdef NET_DSP
  const uint32_t offsets = net_pair(-zero);
  const int8_t *const words = x + (count & ~3);
  while (x != words) {
    const uint32_t numbers = net_word(x), word = net_word(w);
    sum = net_smlad(net_even(offsets, numbers), net_even_of(word), sum);
    sum = net_smlad(net_odd(offsets, numbers), net_odd_of(word), sum);
    x += 4;
    w += 4;
  }
#endif
  while (x != end) sum += (*x++ - zero) * *w++;
  return sum;
}

/* sums[k] += sum of (x[t * step_x + k] - zero) * w[t * step_w + k] over `count` taps. */
static inline void net_scale4(const int8_t *x, int32_t step_x, const int8_t *w, int32_t step_w,
                              int32_t count, int32_t zero, int32_t *sums) {
  int32_t sum0 = sums[0], sum1 = sums[1], sum2 = sums[2], sum3 = sums[3];
#ifdef NET_DSP
  const uint32_t offsets = net_pair(-zero);
#endif
  while (count-- > 0) {
#ifdef NET_DSP
    const uint32_t numbers = net_word(x), word = net_word(w);
    const uint32_t even = net_even(offsets, numbers), odd = net_odd(offsets, numbers);
    const uint32_t even_w = net_even_of(word), odd_w = net_odd_of(word);
    sum0 = __smlabb((int32_t)even, (int32_t)even_w, sum0);
    sum1 = __smlabb((int32_t)odd, (int32_t)odd_w, sum1);
    sum2 = __smlatt((int32_t)even, (int32_t)even_w, sum2);
    sum3 = __smlatt((int32_t)odd, (int32_t)odd_w, sum3);
#else
    sum0 += (x[0] - zero) * w[0];
    sum1 += (x[1] - zero) * w[1];
    sum2 += (x[2] - zero) * w[2];
    sum3 += (x[3] - zero) * w[3];
#endif
    x += step_x;
    w += step_w;
  }
  sums[0] = sum0;
  sums[1] = sum1;
  sums[2] = sum2;
  sums[3] = sum3;
}

#endif
