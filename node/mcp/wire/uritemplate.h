/* uritemplate.h: does a URI belong to a URI template (RFC 6570)? The RFC defines expansion only;
 * the way back is guessed as MCP servers do it: a simple expression stands for characters other
 * than
 * `/`, `?` and `#`, {+x} and {#x} for any, {/x} and {.x} for segments behind their mark, {?x} and
 * {&x} for what is left of a query, or nothing. */
#ifndef URITEMPLATE_H
#define URITEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"

#define URITEMPLATE_URI_MAX 2048       /* bytes; longer URIs match nothing */
#define URITEMPLATE_EXPRESSIONS_MAX 32 /* templates with more match nothing */

/* On true, *literals is how many characters of the template stand for themselves: of two templates
 * that match, the one with more of them says more. Time is bounded by expressions times URI, and by
 * [effort] (effort.h). */
bool uritemplate_match(struct mn_span template, struct mn_span uri, uint32_t *literals,
                       size_t *effort);

#endif
