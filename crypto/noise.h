/* noise.h: Noise_XX_25519_ChaChaPoly_BLAKE2b (Perrin, "The Noise Protocol Framework", revision 34):
 * the handshake of a link, and the two ciphers it leaves behind. Three messages, -> e, <- e ee s
 * es,
 * -> s se, each with a payload; message 1's payload is in clear. Own code over libsodium's X25519,
 * ChaCha20-Poly1305 and BLAKE2b; HKDF is over HMAC-BLAKE2b, which keyed BLAKE2b is not.
 *
 * Initiator: noise_write, noise_read, noise_write. Responder: noise_read, noise_write, noise_read.
 * Then noise_split(). A failure other than a refusal to write (MN_STATE, MN_TOO_BIG) is final: the
 * handshake answers MN_STATE from then on. */
#ifndef NOISE_H
#define NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

#define NOISE_KEY_SIZE 32
#define NOISE_HASH_SIZE 64
#define NOISE_TAG_SIZE 16
#define NOISE_MESSAGE_MAX 65535                                      /* bytes, tag included */
#define NOISE_PLAIN_MAX (NOISE_MESSAGE_MAX - NOISE_TAG_SIZE)         /* of a transport message */
#define NOISE_OVERHEAD_1 32                                          /* e */
#define NOISE_OVERHEAD_2 (32 + 32 + NOISE_TAG_SIZE + NOISE_TAG_SIZE) /* e, s, payload's tag */
#define NOISE_OVERHEAD_3 (32 + NOISE_TAG_SIZE + NOISE_TAG_SIZE)      /* s, payload's tag */

/* One direction. [nonce] is the number of the next message. */
struct noise_cipher {
    uint8_t key[NOISE_KEY_SIZE];
    uint64_t nonce;
};

/* The last nonce is reserved by Noise for rekeying. */
#define NOISE_NONCE_MAX UINT64_MAX

/* Encrypts [size] bytes from [plain] to [sealed] (size + NOISE_TAG_SIZE bytes; the two may be the
 * same address). MN_STATE when the nonces are used up: nothing is written, the link must end. */
MN_MUST_USE mn_status noise_seal(struct noise_cipher *cipher, const uint8_t *plain, size_t size,
                                 uint8_t *sealed);

/* Decrypts [size] bytes, tag included, from [sealed] to [plain] (size - NOISE_TAG_SIZE bytes; the
 * same address is fine). MN_CRYPTO: tampered, out of order or replayed; the nonce does not move.
 * MN_STATE: nonces used up. */
MN_MUST_USE mn_status noise_open(struct noise_cipher *cipher, const uint8_t *sealed, size_t size,
                                 uint8_t *plain);

/* Noise's Rekey(): a new key from the old one, which is gone; the nonce runs on. */
void noise_rekey(struct noise_cipher *cipher);

/* Wipes the key. */
void noise_cipher_done(struct noise_cipher *cipher);

struct noise {
    bool is_initiator, has_key, has_failed;
    uint8_t step; /* messages handled so far, 0..3 */
    uint8_t static_sk[NOISE_KEY_SIZE], static_pk[NOISE_KEY_SIZE];
    uint8_t ephemeral_sk[NOISE_KEY_SIZE], ephemeral_pk[NOISE_KEY_SIZE];
    uint8_t remote_static[NOISE_KEY_SIZE], remote_ephemeral[NOISE_KEY_SIZE];
    uint8_t chaining_key[NOISE_HASH_SIZE], hash[NOISE_HASH_SIZE];
    struct noise_cipher cipher;
};

struct noise_config {
    bool is_initiator;
    struct mn_span prologue;              /* both sides must have the same */
    const uint8_t *static_sk, *static_pk; /* NOISE_KEY_SIZE each; copied */
    const uint8_t *ephemeral_sk;          /* NOISE_KEY_SIZE random bytes, for this handshake only */
};

void noise_init(struct noise *noise, const struct noise_config *config);

/* Wipes everything; also after noise_split(). */
void noise_done(struct noise *noise);

/* Whose turn it is. */
bool noise_must_write(const struct noise *noise);

/* Appends the payload to the next message and writes the whole to [message] (capacity bytes).
 * MN_STATE: not our turn, over, or failed before. MN_TOO_BIG: does not fit. MN_CRYPTO: the remote
 * key gives an all-zero shared secret. */
MN_MUST_USE mn_status noise_write(struct noise *noise, struct mn_span payload, uint8_t *message,
                                  size_t capacity, size_t *ret_size);

/* Reads the next message; writes its payload to [payload] (capacity bytes). MN_STATE, MN_TOO_BIG as
 * above, MN_MALFORMED: too short; MN_CRYPTO: does not authenticate. */
MN_MUST_USE mn_status noise_read(struct noise *noise, struct mn_span message, uint8_t *payload,
                                 size_t capacity, size_t *ret_size);

/* All three messages are done: split, hash and remote static key are final. */
bool noise_is_done(const struct noise *noise);

/* The ciphers of the link. Only when noise_is_done(). */
void noise_split(const struct noise *noise, struct noise_cipher *ret_send,
                 struct noise_cipher *ret_receive);

#endif
