/* CRC-32C (Castagnoli): what seals every journal entry and segment header. */
#ifndef CHECKLANE_CRC32C_H
#define CHECKLANE_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE4_2__
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

/* Remainders of one byte under the reflected polynomial 0x82f63b78, for machines without the
 * instruction: one byte a step, some twenty times slower and equal in every bit. */
static inline uint32_t crc32c_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
    return crc;
}

static inline void crc32c_fill(uint32_t table[256])
{
    for (uint32_t byte = 0; byte < 256; byte++) table[byte] = crc32c_byte(0, (uint8_t)byte);
}

/* The portable form. `table` is filled by crc32c_fill. Pure; any thread. */
static inline uint32_t crc32c_portable(const uint32_t table[256], uint32_t crc, const void *bytes,
                                       size_t size)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) crc = (crc >> 8) ^ table[(crc ^ at[i]) & 0xff];
    return ~crc;
}

#ifdef __SSE4_2__

/* The instruction answers after three cycles but can begin every one: three runs of bytes side by
 * side cost what one does. The sum of the first two is then moved past what lies behind them, a
 * multiplication by x^(8 * bytes) modulo the polynomial. Of a product without carries of 32 by 32
 * bits the instruction takes the remainder, times x^33, which the factors leave out:
 * x^(8 * bytes - 33), the lowest bit being x^31. */
#define CRC32C_LONG 512
#define CRC32C_LONG_ONCE 0xdd7e3b0c
#define CRC32C_LONG_TWICE 0x170076fa
#define CRC32C_SHORT 64
#define CRC32C_SHORT_ONCE 0x9e4addf8
#define CRC32C_SHORT_TWICE 0x0d3b6092

static inline uint64_t crc32c_word(uint64_t sum, const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    return _mm_crc32_u64(sum, word);
}

/* Continues the running sum over 3 * `run` bytes; `once` and `twice` move a sum past one run and
 * two. Only where the processor multiplies without carries. */
__attribute__((target("pclmul"))) static inline uint64_t crc32c_three_runs(
    uint64_t sum, const uint8_t *at, size_t run, uint32_t once, uint32_t twice)
{
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < run; i += 8) {
        sum = crc32c_word(sum, at + i);
        second = crc32c_word(second, at + run + i);
        third = crc32c_word(third, at + 2 * run + i);
    }
    __m128i factors = _mm_set_epi64x(once, twice);
    __m128i sums = _mm_set_epi64x((int64_t)second, (int64_t)sum);
    uint64_t past_two = (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(sums, factors, 0x00));
    uint64_t past_one = (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(sums, factors, 0x11));
    return third ^ _mm_crc32_u64(0, past_two ^ past_one);
}

#endif

/* Continues `crc` (0, or the result of an earlier call) over `size` bytes. Pure; any thread. */
static inline uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
#ifdef __SSE4_2__
    const uint8_t *at = bytes;
    uint64_t sum = (uint32_t)~crc;
    if (size >= 3 * CRC32C_SHORT && __builtin_cpu_supports("pclmul")) {
        for (; size >= 3 * CRC32C_LONG; size -= 3 * CRC32C_LONG, at += 3 * CRC32C_LONG) {
            sum = crc32c_three_runs(sum, at, CRC32C_LONG, CRC32C_LONG_ONCE, CRC32C_LONG_TWICE);
        }
        for (; size >= 3 * CRC32C_SHORT; size -= 3 * CRC32C_SHORT, at += 3 * CRC32C_SHORT) {
            sum = crc32c_three_runs(sum, at, CRC32C_SHORT, CRC32C_SHORT_ONCE, CRC32C_SHORT_TWICE);
        }
    }
    for (; size >= 8; size -= 8, at += 8) sum = crc32c_word(sum, at);
    for (; size > 0; size--, at++) sum = _mm_crc32_u8((uint32_t)sum, *at);
    return ~(uint32_t)sum;
#else
    /* Several threads may fill the table at once: all write the same words. */
    static uint32_t table[256];
    static int is_filled;
    if (!__atomic_load_n(&is_filled, __ATOMIC_ACQUIRE)) {
        uint32_t fresh[256];
        crc32c_fill(fresh);
        for (int i = 0; i < 256; i++) __atomic_store_n(&table[i], fresh[i], __ATOMIC_RELAXED);
        __atomic_store_n(&is_filled, 1, __ATOMIC_RELEASE);
    }
    return crc32c_portable(table, crc, bytes, size);
#endif
}

#endif
