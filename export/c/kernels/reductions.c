/* MEAN, whose multiplier divides by the count, and extremes over axes. */
typedef int32_t net_reducing(int32_t so_far, int32_t value);

static int32_t net_reduced(const net_reduce_params *op, const int8_t *in, int32_t start,
                           net_reducing *function) {
  const int32_t *n = op->reduced, *s = op->reduced_strides;
  int32_t at[6] = {0, 0, 0, 0, 0, 0};
  int32_t total = n[0] * n[1] * n[2] * n[3] * n[4];
  int32_t result = start;
  while (total-- > 0) {
    const int8_t *from = in;
    for (int32_t axis = 0; axis < 5; ++axis) from += at[axis] * s[axis];
    for (int32_t i = 0; i < n[5]; ++i) result = function(result, from[i * s[5]]);
    for (int32_t axis = 4; axis >= 0 && ++at[axis] == n[axis]; --axis) at[axis] = 0;
  }
  return result;
}

static const int8_t *net_kept(const net_reduce_params *op, const int8_t *in, int32_t number) {
  for (int32_t axis = 5; axis >= 0; --axis) {
    in += number % op->sizes[axis] * op->strides[axis];
    number /= op->sizes[axis];
  }
  return in;
}

static int32_t net_kept_count(const net_reduce_params *op) {
  const int32_t *n = op->sizes;
  return n[0] * n[1] * n[2] * n[3] * n[4] * n[5];
}

static int32_t net_plus(int32_t so_far, int32_t value) { return so_far + value; }

static int32_t net_larger(int32_t so_far, int32_t value) {
  return value > so_far ? value : so_far;
}

static int32_t net_smaller(int32_t so_far, int32_t value) {
  return value < so_far ? value : so_far;
}

void net_mean(const net_reduce_params *op, const int8_t *in, int8_t *out) {
  const int32_t count = net_kept_count(op);
  for (int32_t i = 0; i < count; ++i) {
    const int32_t sum = net_reduced(op, net_kept(op, in, i), 0, net_plus) - op->zero_sum;
    out[i] = net_finish(sum, op->multiplier, op->shift, op->out_zero, op->low, op->high);
  }
}

void net_reduce_max(const net_reduce_params *op, const int8_t *in, int8_t *out) {
  const int32_t count = net_kept_count(op);
  for (int32_t i = 0; i < count; ++i) {
    out[i] = (int8_t)net_reduced(op, net_kept(op, in, i), -128, net_larger);
  }
}

void net_reduce_min(const net_reduce_params *op, const int8_t *in, int8_t *out) {
  const int32_t count = net_kept_count(op);
  for (int32_t i = 0; i < count; ++i) {
    out[i] = (int8_t)net_reduced(op, net_kept(op, in, i), 127, net_smaller);
  }
}
