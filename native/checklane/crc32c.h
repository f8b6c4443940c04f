/* CRC-32C (Castagnoli): what seals every journal entry and segment header. */
#ifndef CHECKLANE_CRC32C_H
#define CHECKLANE_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE4_2__
#include <nmmintrin.h>
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

/* Continues `crc` (0, or the result of an earlier call) over `size` bytes. Pure; any thread. */
static inline uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
#ifdef __SSE4_2__
    const uint8_t *at = bytes;
    uint64_t sum = (uint32_t)~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = _mm_crc32_u64(sum, word);
    }
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
