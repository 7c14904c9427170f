/* Runs the self-test on an emulated board: what differs, SysTick's ticks, bytes of stack. */
#include <stdint.h>
#include <stdio.h>

#include "net.h"
#include "net_vectors.h"

#define PAINTED 65536
#define PAINT 0xa5
#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CONTROL 0xe000e010
#define RELOAD 0xe000e014
#define COUNT 0xe000e018

typedef void handler(void);

extern void _start(void);
extern char __stack;

static volatile uint32_t wraps;
static uint8_t arena[NET_ARENA_BYTES];

static void count_wrap(void) { ++wraps; }

/* The stack, the reset, and as number 15 SysTick, which counts 24 bits. */
__attribute__((section(".vectors"), used)) static const struct {
  char *stack;
  handler *handlers[15];
} vectors = {&__stack, {_start, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, count_wrap}};

int main(void) {
  volatile uint8_t here = 0;
  const uintptr_t top = (uintptr_t)&here;
  uintptr_t lowest = top - PAINTED;
  for (uintptr_t p = lowest; p < top - 64; ++p) *(volatile uint8_t *)p = PAINT;
  REGISTER(RELOAD) = 0xffffff;
  REGISTER(COUNT) = 0;
  REGISTER(CONTROL) = 7;
  uint32_t start = REGISTER(COUNT);
  while (start == 0) start = REGISTER(COUNT);
  const uint32_t before = wraps;
  const int wrong = net_self_test(arena);
  uint32_t left, after;
  do {
    after = wraps;
    left = REGISTER(COUNT);
  } while (after != wraps);
  REGISTER(CONTROL) = 0;
  while (*(volatile uint8_t *)lowest == PAINT) ++lowest;
  printf("wrong %d wraps %lu ticks %ld stack %lu\n", wrong, (unsigned long)(after - before),
         (long)start - (long)left, (unsigned long)(top - lowest));
  return wrong;
}
