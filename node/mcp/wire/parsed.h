/* parsed.h: what one half of the gateway has parsed, the other half need not parse again. A call of
 * this node's client that its own server answers goes from half to half as bytes, like any other:
 * its JSON was checked and cut into a tree a moment before. The tree of the newest such payload is
 * kept; nothing depends on it but time. */
#ifndef MCP_PARSED_H
#define MCP_PARSED_H

#include "node/json/json.h"

#define PARSED_NODES_MAX 64
#define PARSED_SIZE_MAX ((size_t)64 << 10) /* of the payload, which is kept until the next */

struct parsed {
    struct mn_buf *payload; /* NULL: nothing is known */
    struct json nodes[PARSED_NODES_MAX];
};

void parsed_done(struct parsed *parsed);

/* The text that [root] is the tree of stands at the end of [payload], too. Forgets what was known;
 * knows nothing of what is large, or has escapes. */
void parsed_set(struct parsed *parsed, struct mn_buf *payload, const struct json *root);

/* The tree of [text], the very bytes in that payload; NULL: it is not known. */
const struct json *parsed_find(const struct parsed *parsed, struct mn_span text);

#endif
