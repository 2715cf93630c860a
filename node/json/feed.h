/* feed.h: JSON that is checked piece by piece, as it comes or as there is time: what json_parse()
 * says of a text, but no step of it looks at more than it is told to. Slower for texts that are
 * there as a whole and short; for those of many megabytes, which would hold up everything else.
 *
 * The rules are those of json.h, and so is the tree, with one exception: a string of more than
 * JSON_FEED_TEXT_MAX bytes with escapes in it has no .text, only .raw. */
#ifndef JSON_FEED_H
#define JSON_FEED_H

#include "node/json/json.h"

#define JSON_FEED_TEXT_MAX ((size_t)64 << 10)

struct json_feed;

struct json_feed *json_feed_new(struct json_limits limits);
void json_feed_free(struct json_feed *feed); /* NULL is none */

/* What is told of the upper levels while a text is looked at, in the order in which it ends; of an
 * array or object also where it begins. */
enum json_feed_part { JSON_FEED_KEY = 1, JSON_FEED_SCALAR, JSON_FEED_OPEN, JSON_FEED_CLOSE };
struct json_feed_seen {
    enum json_feed_part part;
    enum json_type type;
    bool has_escapes;  /* a string or key */
    uint32_t depth;    /* arrays and objects around it; a key has those of its value */
    size_t begin, end; /* places in the text; OPEN: no end yet */
};

/* Tells [seen] of all that has at most [depth_max] around it, however much that is: it need not be
 * kept. Before the first check; [owner] is handed back. */
void json_feed_watch(struct json_feed *feed, uint32_t depth_max,
                     void (*seen)(void *owner, const struct json_feed_seen *seen), void *owner);

/* While something is told: it meant so much work that [size] bytes less are looked at by this
 * check. */
void json_feed_spend(struct json_feed *feed, size_t size);

/* [text] is all that is there so far: what was there before, which may have moved, and more. Looks
 * at [size_max] bytes more, give or take a few. MN_OK: at all that is there; MN_NOT_YET: there is
 * more to look at; MN_MALFORMED, MN_TOO_BIG: it is no such JSON, and will not become any. */
MN_MUST_USE mn_status json_feed_check(struct json_feed *feed, struct mn_span text, size_t size_max);

/* [text] is whole. Looks at what is left; the tree lives in [arena] and borrows from [text]. */
MN_MUST_USE mn_status json_feed_end(struct json_feed *feed, struct mn_span text,
                                    struct mn_arena *arena, const struct json **ret);

/* Values and keys that were seen so far, those that are not kept too. */
size_t json_feed_values(const struct json_feed *feed);

/* Bytes that were looked at so far. */
size_t json_feed_place(const struct json_feed *feed);

/* Whether there was a CR or LF: none is on one line. */
bool json_feed_has_lines(const struct json_feed *feed);

#endif
