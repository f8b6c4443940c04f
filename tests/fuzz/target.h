/* What libFuzzer calls, and so does driver.c where there is no clang. */
#ifndef CHECKLANE_TESTS_TARGET_H
#define CHECKLANE_TESTS_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* Longer requests show nothing new; the ceiling of the wire has its own test. */
#define REQUEST_BYTES_TRIED_MAX 65536

/* Inputs that were not refused: shows that the tries reach beyond the first check. */
extern uint64_t accepted_count;

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
