/* SOFTMAX in 32-bit fixed point, with gemmlowp's exponential and reciprocal. */
static int32_t net_exp_near_minus_eighth(int32_t value) {
  const int32_t x = value + (1 << 28);
  const int32_t square = net_high_mul(x, x);
  const int32_t cube = net_high_mul(square, x);
  const int32_t quarter = net_rounding_divide(net_high_mul(square, square), 2);
  const int32_t tail =
      net_rounding_divide(net_high_mul(quarter + cube, 715827883) + square, 1);
  return 1895147668 + net_high_mul(x + tail, 1895147668);
}

/* exp(x) of Q5.26 up to 0, in Q0.31. */
static int32_t net_exp(int32_t value) {
  static const int32_t factors[7] = {1672461947, 1302514674, 790015084, 290630308,
                                     39332535,   720401,     242};
  const int32_t rest = (value & ((1 << 24) - 1)) - (1 << 24);
  int32_t result = net_exp_near_minus_eighth(rest * (1 << 5));
  const int32_t remainder = rest - value;
  if (value == 0) return INT32_MAX;
  for (int32_t bit = 0; bit < 7; ++bit) {
    if (remainder & (1 << (24 + bit))) result = net_high_mul(result, factors[bit]);
  }
  return result;
}

/* 1 / (1 + x) of Q0.31 in (0, 1). */
static int32_t net_one_over_one_plus(int32_t value) {
  const int32_t half = (int32_t)(((int64_t)value + INT32_MAX + 1) >> 1);
  int32_t x = 1515870810 + net_high_mul(half, -1010580540);
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t missing = (1 << 29) - net_high_mul(half, x);
    x += net_saturating_left(net_high_mul(x, missing), 2);
  }
  return net_saturating_left(x, 1);
}

static int32_t net_exp_of(const net_softmax_params *op, int32_t difference) {
  return net_exp(net_high_mul(net_shift_left(difference, op->shift), op->multiplier));
}

void net_softmax(const net_softmax_params *op, const int8_t *in, int8_t *out) {
  for (int32_t row = 0; row < op->rows; ++row) {
    int32_t most = -128, sum = 0;
    for (int32_t i = 0; i < op->depth; ++i) most = in[i] > most ? in[i] : most;
    for (int32_t i = 0; i < op->depth; ++i) {
      if (in[i] - most < op->lowest) continue;
      sum += net_rounding_divide(net_exp_of(op, in[i] - most), 12);
    }
    const int32_t headroom = net_leading_zeros((uint32_t)sum);
    const int32_t reciprocal =
        net_one_over_one_plus((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));
    const int32_t bits = 12 - headroom + 31 - 8;
    for (int32_t i = 0; i < op->depth; ++i) {
      int32_t share = -128;
      if (in[i] - most >= op->lowest) {
        const int32_t scaled = net_high_mul(reciprocal, net_exp_of(op, in[i] - most));
        /* Below half of an integer where so many classes share alike. */
        share = net_clamp((bits > 31 ? 0 : net_rounding_divide(scaled, bits)) - 128, -128, 127);
      }
      out[i] = (int8_t)share;
    }
    in += op->depth;
    out += op->depth;
  }
}
