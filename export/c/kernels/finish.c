/* Four sums as integers of the result. */
void net_finish4(const int32_t *sums, const int32_t *multiplier, const int8_t *shift, int32_t zero,
                 int32_t low, int32_t high, int8_t *out) {
  for (int32_t k = 0; k < 4; ++k) {
    out[k] = net_finish(sums[k], multiplier[k], shift[k], zero, low, high);
  }
}
