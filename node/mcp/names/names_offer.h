/* names_offer.h: one server's offer, from the mesh and to a client: judged once when it comes, and
 * its items written in the shape that a client's era knows. */
#ifndef NAMES_OFFER_H
#define NAMES_OFFER_H

#include "node/mcp/names/names.h"

/* Fills [service] from an encoded gateway.Offer (NULL: a conflict, nothing to fill). Returns how
 * many items were dropped: no JSON object, without the name they claim, tools without inputSchema,
 * named twice, or too many. An offer that does not decode has none. [scratch] is reset. */
uint64_t names_offer_load(struct names_service *service, struct mn_buf *body,
                          struct json_parser *parser, struct mn_arena *scratch);

/* Appends the definition of [item] under the name [exposed] (data == NULL: its own); everything
 * else stays as its server wrote it, but for what an era does not know: modern clients have no
 * `execution`, legacy ones no outputSchema whose root is not an object. Beside the names of other
 * servers (exposed) a tool's user interface goes by its long form where its URI would lead
 * elsewhere. names->scratch is reset. */
void names_offer_write(struct mn_writer *writer, struct names *names, const struct names_item *item,
                       enum names_kind kind, struct mn_span exposed, enum names_era era);

#endif
