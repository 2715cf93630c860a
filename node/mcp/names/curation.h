/* curation.h: what the operators of a mesh agreed on about its tools: views, which are chosen
 * subsets under names of their own, and rules for single tools, pinned to the definition that was
 * looked at or in quarantine. The mesh agrees on it as pairs of key and JSON value:
 *
 *   view/NAME           {"instructions": TEXT, "surface": "full" | "small",
 *                        "tools":     ["SERVER/TOOL", {"tool": "SERVER/TOOL", "as": NAME}],
 *                        "prompts":   ["SERVER/PROMPT", {"prompt": ..., "as": NAME}],
 *                        "resources": ["SERVER/URI"]}    each member may be absent
 *   tool/SERVER/TOOL    {"pin": HEX | null, "held": BOOL, "reason": TEXT, "at_ms": WALL}
 *
 * In a view's entries `*` stands for any characters. SERVER is NAME, NAME.NODE or `mesh`. A rule
 * for NAME holds for NAME.NODE too, unless that has a rule of its own.
 *
 * A pin is a digest of the definition as JSON: the order of members and the blanks between them do
 * not matter, everything else does. */
#ifndef CURATION_H
#define CURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "node/json/json.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"

#define CURATION_VIEWS_MAX 256
#define CURATION_VIEW_SIZE_MAX 65536 /* bytes of its JSON */
#define CURATION_ENTRIES_MAX 1024    /* of a view, in all its lists */
#define CURATION_NAME_MAX 64         /* characters of a view's name, and of "as" */
#define CURATION_RULES_MAX 16384     /* tools with a rule */
#define CURATION_PIN_SIZE 16
#define CURATION_VIEW_PREFIX "view/"
#define CURATION_TOOL_PREFIX "tool/"

enum curation_kind { CURATION_TOOLS = 0, CURATION_PROMPTS, CURATION_RESOURCES, CURATION_KINDS };

struct curation_pair {
    struct mn_span key, value;
};

struct curation_entry {
    struct mn_span server, item; /* patterns */
    struct mn_span as;           /* empty: as it is called at /mcp */
};

struct curation_view {
    struct mn_map_entry by_name;
    struct mn_span name, text; /* text: its JSON */
    struct mn_span instructions;
    bool is_small; /* lists only the two tools that find and call all others */
    struct curation_entry *entries[CURATION_KINDS];
    uint32_t counts[CURATION_KINDS];
};

struct curation_rule {
    struct mn_map_entry by_key; /* SERVER/TOOL */
    bool is_held, has_pin;
    uint8_t pin[CURATION_PIN_SIZE];
    struct mn_span reason; /* of the quarantine, for people */
    uint64_t at_ms;
};

struct curation {
    struct mn_map views, rules;
    struct mn_arena arena; /* all of it */
    uint64_t dropped_count;
};

void curation_init(struct curation *curation, uint64_t seed);
void curation_done(struct curation *curation);

/* Replaces everything by what [pairs] say. What is malformed or too much is dropped and counted. */
void curation_load(struct curation *curation, const struct curation_pair *pairs, uint32_t count,
                   struct json_parser *parser);

/* NULL: there is no such view. */
struct curation_view *curation_view(const struct curation *curation, struct mn_span name);

/* The rule for a tool of a service, NAME or NAME.NODE; NULL: there is none. */
const struct curation_rule *curation_rule(const struct curation *curation, struct mn_span service,
                                          struct mn_span tool);

/* The view's entry that chooses that item of that service; NULL: none does. */
const struct curation_entry *curation_match(const struct curation_view *view,
                                            enum curation_kind kind, struct mn_span service,
                                            struct mn_span item);

/* Whether a text fits a pattern with `*`. */
bool curation_fits(struct mn_span pattern, struct mn_span text);

bool curation_is_view_name(struct mn_span name);

/* Reads a view into [arena]. MN_MALFORMED: [why] says for people what is wrong with it. */
MN_MUST_USE mn_status curation_read_view(struct json_parser *parser, struct mn_span name,
                                         struct mn_span text, struct mn_arena *arena,
                                         struct curation_view **ret, struct mn_span *why);

/* The pin of a definition, any JSON. MN_MALFORMED, MN_TOO_BIG: it has none. */
MN_MUST_USE mn_status curation_digest(struct json_parser *parser, struct mn_span definition,
                                      struct mn_arena *arena, uint8_t ret[CURATION_PIN_SIZE]);

#endif
