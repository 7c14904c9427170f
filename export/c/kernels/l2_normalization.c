/* L2_NORMALIZATION: the result counts 128ths. */
static void net_inverse_root(int32_t square, int32_t *multiplier, int32_t *shift) {
  int32_t right = 11, x = 1 << 28;
  if (square <= 1) {
    *multiplier = INT32_MAX;
    *shift = 0;
    return;
  }
  while (square >= 1 << 29) {
    square /= 4;
    ++right;
  }
  const int32_t pairs = (net_leading_zeros((uint32_t)square) - 1) / 2 - 1;
  right -= pairs;
  const int32_t half = net_rounding_divide((square << (2 * pairs)) >> 1, 1);
  for (int32_t i = 0; i < 5; ++i) {
    const int32_t cube = net_saturating_left(net_high_mul(net_high_mul(x, x), x), 6);
    const int32_t three_halves = net_high_mul((1 << 28) + (1 << 27), x);
    x = net_saturating_left(three_halves - net_high_mul(half, cube), 3);
  }
  *multiplier = net_high_mul(x, 1518500250);
  if (right < 0) {
    *multiplier = net_shift_left(*multiplier, -right);
    right = 0;
  }
  *shift = -right;
}

void net_l2_normalization(const net_l2_params *op, const int8_t *in, int8_t *out) {
  for (int32_t row = 0; row < op->rows; ++row) {
    int32_t sum = 0, multiplier, shift;
    for (int32_t i = 0; i < op->depth; ++i) {
      sum += (in[i] - op->in_zero) * (in[i] - op->in_zero);
    }
    net_inverse_root(sum, &multiplier, &shift);
    for (int32_t i = 0; i < op->depth; ++i) {
      const int32_t value = net_multiply(in[i] - op->in_zero, multiplier, shift + 7);
      out[i] = (int8_t)net_clamp(value, -128, 127);
    }
    in += op->depth;
    out += op->depth;
  }
}
