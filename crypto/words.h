/* words.h: eight words that stand for a value, for people to compare by eye or by telephone: 88
 * bits of H_128(words, value), eleven bits each, from a list of 2,048 words that differ in their
 * first four letters. A plain hash is enough: whoever wants to deceive must hit the words of one
 * honest value, it does not help him to find any two that agree. */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>

#include "proto/base/bytes.h"

#define WORDS_COUNT 8
#define WORDS_TEXT_SIZE 72 /* eight words of eight letters, blanks, NUL */

/* Writes the words of [value], a blank between each two. Returns [ret]. */
char *words_of(struct mn_span value, char ret[WORDS_TEXT_SIZE]);

/* True when [text] is all eight words of [value]: in either case, with any blanks, commas or
 * hyphens between them; of each word the first four letters are enough. */
bool words_match(struct mn_span text, struct mn_span value);

#endif
