/* A chain of kernels, one row of one stage at a time: the first stage whose row is lacking. */
static int32_t net_rows_needed(const net_stage *stage, int32_t row, int32_t most) {
  const int32_t end = row * stage->stride - stage->before + stage->extent;
  return end < most ? end : most;
}

void net_run_stages(const net_stage *stages, int32_t *next, const int32_t *heights,
                    int32_t count) {
  const int32_t last = count - 1;
  while (next[last] < heights[last]) {
    int32_t i = last;
    while (i > 0 && next[i - 1] < net_rows_needed(&stages[i], next[i], heights[i - 1])) --i;
    stages[i].run(stages[i].params, stages[i].in, &stages[i].out, next[i], next[i] + 1);
    ++next[i];
  }
}
