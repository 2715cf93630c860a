/* string.h: what is inside JSON strings: escapes (RFC 8259, section 7) and UTF-8 (RFC 3629). */
#ifndef JSON_STRING_H
#define JSON_STRING_H

#include <stdbool.h>

#include "proto/base/bytes.h"
#include "proto/base/memory.h"

/* Checks the escapes of [quoted], the inside of a string that is valid UTF-8, and gives its text:
 * [quoted] itself when it has none, else a copy in [arena]; with [arena] == NULL it only checks.
 * Half of a surrogate pair is U+FFFD there. False: a wrong escape, or such a half if [is_strict].
 */
bool json_string_unescape(struct mn_span quoted, bool is_strict, struct mn_arena *arena,
                          struct mn_span *ret);

/* Bytes of the escape at the front of [bytes], its backslash included; 0 when there is no valid
 * one. */
size_t json_string_escape_size(struct mn_span bytes);

/* Bytes of the UTF-8 sequence at the front of [bytes], 0 when there is no valid one. */
size_t json_string_utf8(struct mn_span bytes);

/* Is all of it UTF-8, which JSON carries as it is? */
bool json_string_is_text(struct mn_span bytes);

#endif
