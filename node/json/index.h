/* index.h: where the tokens of a JSON text begin: the first stage of simdjson (Langdale, Lemire,
 * "Parsing Gigabytes of JSON per Second", VLDB Journal 2019), behind a C interface. It also proves
 * the text to be UTF-8, every string closed, and no control character inside one. */
#ifndef JSON_INDEX_H
#define JSON_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_index;

struct json_index *json_index_new(void);
void json_index_free(struct json_index *index);

/* Finds the first byte of each token in [text], after which 64 more bytes must be readable. The
 * positions live until the next call, with [size] behind the last of them. False: the text breaks
 * one of the rules above, is empty, or is too long for 32-bit positions. */
bool json_index_find(struct json_index *index, const uint8_t *text, size_t size,
                     const uint32_t **positions, uint32_t *positions_count);

/* Gives back the memory that an unusually long text took. */
void json_index_trim(struct json_index *index);

#ifdef __cplusplus
}
#endif

#endif
