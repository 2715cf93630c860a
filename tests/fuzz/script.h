/* script.h: an input that is read step by step: a letter says what happens, lines say with what. */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include <string.h>

#include "proto/base/bytes.h"

/* The next byte; 0: there are no more. */
static inline uint8_t script_byte(struct mn_span *script)
{
    if (script->size == 0) return 0;
    script->size--;
    return *script->data++;
}

/* Up to the next line feed, which is skipped, or the end; within the input. */
static inline struct mn_span script_line(struct mn_span *script)
{
    const uint8_t *end = script->size == 0 ? NULL : memchr(script->data, '\n', script->size);
    size_t size = end == NULL ? script->size : (size_t)(end - script->data);
    struct mn_span line = mn_span(script->data, size);

    script->data += size + (end != NULL);
    script->size -= size + (end != NULL);
    return line;
}

#endif
