/* text.h: binary to text and back: hex, and base32 (RFC 4648 alphabet in lower case, no padding)
 * for strings people copy. Decoders refuse anything the encoder would not write. */
#ifndef MN_TEXT_H
#define MN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

/* Writes 2 * size lower-case digits and a NUL. */
void mn_hex_encode(struct mn_span bytes, char *text);

/* [text] must hold exactly 2 * size hex digits (either case). MN_MALFORMED otherwise. */
MN_MUST_USE mn_status mn_hex_decode(struct mn_span text, uint8_t *bytes, size_t size);

#define MN_BASE32_SIZE(bytes_size) (((bytes_size)*8 + 4) / 5)

/* Writes MN_BASE32_SIZE(size) characters and a NUL. */
void mn_base32_encode(struct mn_span bytes, char *text);

/* [text] must be the encoding of exactly [size] bytes, stray bits zero. MN_MALFORMED otherwise. */
MN_MUST_USE mn_status mn_base32_decode(struct mn_span text, uint8_t *bytes, size_t size);

/* [text] without the mark of its encoding (U+FEFF in UTF-8) that some writers put first. */
struct mn_span mn_text_without_mark(struct mn_span text);

/* Whether [text] has [part] in it, letters of ASCII in either case. */
bool mn_text_has(struct mn_span text, struct mn_span part);

#endif
