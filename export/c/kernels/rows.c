/* ADD of two images, and functions by tables, number by number. */
void net_add(const void *params, const net_rows *in, const net_rows *out, int32_t first,
             int32_t end) {
  const net_add_params *op = params;
  for (int32_t y = first; y < end; ++y) {
    const int8_t *a = net_row(&in[0], y), *b = net_row(&in[1], y);
    int8_t *to = net_row(out, y);
    for (int32_t i = 0; i < op->bytes; ++i) {
      const int32_t left = (a[i] - op->zero_a) * (1 << 20);
      const int32_t right = (b[i] - op->zero_b) * (1 << 20);
      const int32_t total = net_multiply(left, op->multiplier_a, op->shift_a) +
                            net_multiply(right, op->multiplier_b, op->shift_b);
      to[i] = net_finish(total, op->multiplier, op->shift, op->out_zero, op->low, op->high);
    }
  }
}

void net_lookup(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                int32_t end) {
  const net_lookup_params *op = params;
  for (int32_t y = first; y < end; ++y) {
    const int8_t *from = net_row(in, y);
    int8_t *to = net_row(out, y);
    for (int32_t i = 0; i < op->bytes; ++i) to[i] = op->table[from[i] + 128];
  }
}
