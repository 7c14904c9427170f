/* MEAN of an image in a chain: sums are copied, since the arena need not be aligned. */
void net_mean_rows(const void *params, const net_rows *in, const net_rows *out, int32_t first,
                   int32_t end) {
  const net_mean_rows_params *op = params;
  for (int32_t y = first; y < end; ++y) {
    const int8_t *row = net_row(&in[0], y);
    for (int32_t c = 0; c < op->channels; ++c) {
      int32_t sum = 0;
      if (y > 0) memcpy(&sum, in[1].data + 4 * c, sizeof sum);
      for (int32_t x = 0; x < op->in_w; ++x) sum += row[x * op->channels + c];
      memcpy(in[1].data + 4 * c, &sum, sizeof sum);
      if (y < op->in_h - 1) continue;
      out->data[c] = net_finish(sum - op->zero_sum, op->multiplier, op->shift, op->out_zero,
                                op->low, op->high);
    }
  }
}
