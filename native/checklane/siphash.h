/* Keyed hashing (SipHash-2-4, after Aumasson and Bernstein, 2012). */
#ifndef CHECKLANE_SIPHASH_H
#define CHECKLANE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct hash128 {
    uint64_t hi;
    uint64_t lo;
} hash128_t;

static inline uint64_t siphash_rotate(uint64_t word, int bits)
{
    return (word << bits) | (word >> (64 - bits));
}

static inline void siphash_round(uint64_t v[4])
{
    v[0] += v[1]; v[2] += v[3];
    v[1] = siphash_rotate(v[1], 13) ^ v[0];
    v[3] = siphash_rotate(v[3], 16) ^ v[2];
    v[0] = siphash_rotate(v[0], 32);
    v[2] += v[1]; v[0] += v[3];
    v[1] = siphash_rotate(v[1], 17) ^ v[2];
    v[3] = siphash_rotate(v[3], 21) ^ v[0];
    v[2] = siphash_rotate(v[2], 32);
}

static inline void siphash_begin(const uint64_t key[2], uint64_t v[4])
{
    v[0] = key[0] ^ 0x736f6d6570736575u;
    v[1] = key[1] ^ 0x646f72616e646f6du ^ 0xee;
    v[2] = key[0] ^ 0x6c7967656e657261u;
    v[3] = key[1] ^ 0x7465646279746573u;
}

static inline void siphash_compress(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    siphash_round(v);
    siphash_round(v);
    v[0] ^= word;
}

/* `last` has the bytes that fill no word, and in its highest byte the lowest of the size. */
static inline hash128_t siphash_end(uint64_t v[4], uint64_t last)
{
    hash128_t hash;
    siphash_compress(v, last);
    v[2] ^= 0xee;
    for (int i = 0; i < 4; i++) siphash_round(v);
    hash.lo = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    for (int i = 0; i < 4; i++) siphash_round(v);
    hash.hi = v[0] ^ v[1] ^ v[2] ^ v[3];
    return hash;
}

/* The 128-bit variant over `size` bytes. `lo` is the first word of the output, `hi` the second.
 * Little-endian machines only. Pure; any thread. */
static inline hash128_t siphash128(const uint64_t key[2], const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t v[4];
    uint64_t word;
    size_t left = size;
    siphash_begin(key, v);
    for (; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8);
        siphash_compress(v, word);
    }
    word = 0;
    if (left > 0) memcpy(&word, at, left);
    return siphash_end(v, word | (uint64_t)size << 56);
}

/* Spreads a number over 64 bits (the finalizer of MurmurHash3); for open-addressed tables. */
static inline uint64_t mix64(uint64_t number)
{
    number ^= number >> 33;
    number *= 0xff51afd7ed558ccdu;
    number ^= number >> 33;
    number *= 0xc4ceb9fe1a85ec53u;
    number ^= number >> 33;
    return number;
}

#endif
