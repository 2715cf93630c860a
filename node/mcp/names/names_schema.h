/* names_schema.h: the input schemas of tools, compiled when first needed and kept as long as they
 * fit; what the front judges arguments by before a call leaves this node. */
#ifndef NAMES_SCHEMA_H
#define NAMES_SCHEMA_H

#include "node/json/schema.h"
#include "node/mcp/names/names.h"

#define NAMES_SCHEMAS_MAX 33554432 /* bytes of compiled schemas; then all are forgotten */
#define NAMES_JUDGED_MAX 1048576   /* bytes of arguments; more would hold up everybody else */

enum names_verdict {
    NAMES_GOOD = 1,
    NAMES_BAD,     /* the arguments do not match; [why] says where and how */
    NAMES_UNJUDGED /* the server judges for itself, for [why]: the schema is unusable here, or it
                      takes too long */
};

/* Judges [arguments], parsed from text with padding after it; NULL stands for {}. [why] is in
 * [arena], as is everything made on the way. */
enum names_verdict names_judge(struct names *names, struct names_item *tool,
                               const struct json *arguments, struct mn_arena *arena,
                               struct mn_span *why);

/* Before the items of a service go. */
void names_schema_forget(struct names *names, struct names_service *service);

#endif
