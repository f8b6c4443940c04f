/* Keyed hashing (SipHash-2-4, after Aumasson and Bernstein, 2012) and the keys that names get. */
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

/* The 128-bit variant over `size` bytes. `lo` is the first word of the output, `hi` the second.
 * Little-endian machines only. Pure; any thread. */
static inline hash128_t siphash128(const uint64_t key[2], const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du ^ 0xee,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t word;
    size_t left = size;
    for (; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8);
        v[3] ^= word;
        siphash_round(v);
        siphash_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (left > 0) memcpy(&word, at, left);
    word |= (uint64_t)size << 56;
    v[3] ^= word;
    siphash_round(v);
    siphash_round(v);
    v[0] ^= word;
    v[2] ^= 0xee;
    for (int i = 0; i < 4; i++) siphash_round(v);
    hash128_t hash;
    hash.lo = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    for (int i = 0; i < 4; i++) siphash_round(v);
    hash.hi = v[0] ^ v[1] ^ v[2] ^ v[3];
    return hash;
}

/* Key of a name: the same everywhere and for good, so it uses no secret. `text` is
 * "space:name", such as "offer:soup-3-for-5". Never 0, which marks an empty slot. */
static inline uint64_t name_key(const void *text, size_t size)
{
    static const uint64_t no_secret[2] = {0, 0};
    uint64_t key = siphash128(no_secret, text, size).lo;
    return key != 0 ? key : 1;
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
