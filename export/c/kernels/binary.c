/* Elementwise operators of two operands; `strides` of 0 repeat the smaller one. */
typedef int32_t net_binary_function(const net_binary_params *op, int32_t a, int32_t b);

static void net_each(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out,
                     net_binary_function *function) {
  const int32_t *n = op->sizes, *s = op->strides_a, *t = op->strides_b;
  int32_t at[6] = {0, 0, 0, 0, 0, 0};
  int32_t total = n[0] * n[1] * n[2] * n[3] * n[4];
  while (total-- > 0) {
    const int8_t *left = a, *right = b;
    for (int32_t axis = 0; axis < 5; ++axis) {
      left += at[axis] * s[axis];
      right += at[axis] * t[axis];
    }
    for (int32_t i = 0; i < n[5]; ++i) {
      *out++ = (int8_t)net_clamp(function(op, left[i * s[5]], right[i * t[5]]), op->low, op->high);
    }
    for (int32_t axis = 4; axis >= 0 && ++at[axis] == n[axis]; --axis) at[axis] = 0;
  }
}

static int32_t net_sum_of(const net_binary_params *op, int32_t a, int32_t b) {
  const int32_t left = (a - op->zero_a) * (1 << op->left_shift);
  const int32_t right = (b - op->zero_b) * (1 << op->left_shift);
  const int32_t total = net_multiply(left, op->multiplier_a, op->shift_a) +
                        net_multiply(right, op->multiplier_b, op->shift_b);
  return net_multiply(total, op->multiplier, op->shift) + op->out_zero;
}

static int32_t net_product_of(const net_binary_params *op, int32_t a, int32_t b) {
  const int32_t product = (a - op->zero_a) * (b - op->zero_b);
  return net_multiply(product, op->multiplier, op->shift) + op->out_zero;
}

static int32_t net_maximum_of(const net_binary_params *op, int32_t a, int32_t b) {
  (void)op;
  return a > b ? a : b;
}

static int32_t net_minimum_of(const net_binary_params *op, int32_t a, int32_t b) {
  (void)op;
  return a < b ? a : b;
}

static int32_t net_squared_difference_of(const net_binary_params *op, int32_t a, int32_t b) {
  const int32_t left = (a - op->zero_a) * (1 << op->left_shift);
  const int32_t right = (b - op->zero_b) * (1 << op->left_shift);
  const int32_t difference = net_multiply(left, op->multiplier_a, op->shift_a) -
                             net_multiply(right, op->multiplier_b, op->shift_b);
  return net_multiply(difference * difference, op->multiplier, op->shift) + op->out_zero;
}

static int32_t net_prelu_of(const net_binary_params *op, int32_t a, int32_t b) {
  const int32_t value = a - op->zero_a;
  if (value >= 0) return net_multiply(value, op->multiplier_a, op->shift_a) + op->out_zero;
  return net_multiply(value * (b - op->zero_b), op->multiplier, op->shift) + op->out_zero;
}

void net_sum(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out) {
  net_each(op, a, b, out, net_sum_of);
}

void net_product(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out) {
  net_each(op, a, b, out, net_product_of);
}

void net_maximum(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out) {
  net_each(op, a, b, out, net_maximum_of);
}

void net_minimum(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out) {
  net_each(op, a, b, out, net_minimum_of);
}

void net_squared_difference(const net_binary_params *op, const int8_t *a, const int8_t *b,
                            int8_t *out) {
  net_each(op, a, b, out, net_squared_difference_of);
}

void net_prelu(const net_binary_params *op, const int8_t *a, const int8_t *b, int8_t *out) {
  net_each(op, a, b, out, net_prelu_of);
}
