/* token.h: join tokens. A token is a delegated signing key and a pin of the authority: its secret
 * is never sent nor stored by the mesh, which knows the public half only. Strings:
 *   mnt1-<base32 of 01, pin 16, secret 16, check 4>   a token
 *   mnp1-<base32 of 02, pin 16, check 4>              a pin alone; not secret
 * A token that was made before its mesh has a pin of zeros. */
#ifndef TOKEN_H
#define TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/digest.h"
#include "crypto/sign.h"
#include "proto/base/bytes.h"
#include "proto/base/id.h"
#include "proto/base/status.h"

#define TOKEN_SECRET_SIZE 16
#define TOKEN_TEXT_SIZE 66     /* "mnt1-", 60 characters, NUL */
#define TOKEN_PIN_TEXT_SIZE 40 /* "mnp1-", 34 characters, NUL */
#define TOKEN_ID_TEXT_SIZE 17  /* what users see of an id: 16 hex digits and a NUL */

struct token {
    bool has_secret; /* false: a pin string */
    uint8_t pin[DIGEST_PIN_SIZE];
    uint8_t secret[TOKEN_SECRET_SIZE];
};

/* [secret]: TOKEN_SECRET_SIZE random bytes. [pin] NULL: made before its mesh. */
void token_init(struct token *token, const uint8_t *pin, const uint8_t secret[TOKEN_SECRET_SIZE]);

/* Wipes it. */
void token_done(struct token *token);

/* Either kind; surrounding white space is not accepted. MN_MALFORMED: not such a string;
 * MN_BAD_SIGNATURE: looks like one, but its check bytes are wrong (mistyped). */
MN_MUST_USE mn_status token_decode(struct mn_span text, struct token *ret);

/* The string of a token with a secret; the caller wipes it after use. */
void token_encode(const struct token *token, char ret[TOKEN_TEXT_SIZE]);
void token_encode_pin(const uint8_t pin[DIGEST_PIN_SIZE], char ret[TOKEN_PIN_TEXT_SIZE]);

bool token_has_pin(const struct token *token);

/* The token's signing key, from its secret; the caller wipes it with sign_key_done(). */
void token_key(const struct token *token, struct sign_key *ret);

/* digest_token_id() of that key. */
mn_id token_id(const struct token *token);

/* The first 16 hex digits of an id, as users see it. */
char *token_id_format(const mn_id *id, char ret[TOKEN_ID_TEXT_SIZE]);

#endif
