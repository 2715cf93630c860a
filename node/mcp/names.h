/* names.h: what the mesh offers, as clients see it: services by name, the aggregated tables of
 * tools, prompts, resources and resource templates, and the answers to the list methods, kept ready
 * as bytes.
 *
 * On /mcp a tool or prompt is called server__name, with `_` for every character outside
 * [A-Za-z0-9_-]. Where that is longer than 64 characters, or two would share it, each of them is
 * called by its first 55 characters, `_`, and 8 hex digits of H(service, name). So a name depends
 * on the set alone, never on the order they came in: all nodes that know the same set list the same
 * bytes. It is looked up in the table, never taken apart.
 *
 * Resources and templates keep their URI, because it also stands in texts that nobody may change.
 * Only where several servers list the same one, each is listed as meshnode://SERVICE/URI, and the
 * bare one belongs to nobody: a URI never silently moves to another server. The long form can
 * always be read.
 *
 * Services that are not listed can be called under names made the same way, as far as listed ones
 * leave them free. Offers come from other nodes, so everything in them is judged: what is no valid
 * item is dropped and counted. */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "node/json/json.h"
#include "node/mcp/upstream_headers.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"
#include "proto/call.h"

#define NAMES_TOOL_MAX 64            /* characters of a listed name */
#define NAMES_SERVICES_MAX 16384     /* more are ignored and counted */
#define NAMES_SERVICE_ITEMS_MAX 5000 /* of a kind, per service; more are dropped and counted */
#define NAMES_PAGE 1000              /* items of one page of a list */
#define NAMES_DIGEST_SIZE 16
#define NAMES_URI_PREFIX "meshnode://"

enum names_era { NAMES_LEGACY = 0, NAMES_MODERN, NAMES_ERAS };

enum names_kind {
    NAMES_TOOLS = 0,
    NAMES_PROMPTS,
    NAMES_RESOURCES,
    NAMES_TEMPLATES,
    NAMES_LISTS,            /* how many have a list */
    NAMES_UI = NAMES_LISTS, /* resources that only a tool of their server names: MCP Apps */
    NAMES_KINDS
};

struct names_item {
    struct mn_map_entry by_exposed, by_own;
    struct names_service *service;
    struct mn_span exposed;        /* as clients of /mcp call it; empty: they cannot */
    struct mn_span own;            /* as its server calls it: name, URI, template */
    struct mn_span definition;     /* JSON object, as the server listed it */
    bool is_idempotent;            /* tool: may be executed again when its outcome is unknown */
    bool is_ambiguous;             /* shares its plain name or URI with another one */
    struct upstream_params params; /* tool: arguments that modern clients must repeat in headers */
    struct schema *schema;         /* tool: of its arguments, once needed; see names_schema.h */
};

struct names_service {
    struct mn_map_entry by_name;
    struct mn_span name; /* behind this struct */
    bool is_listed, is_conflict;
    uint32_t providers_count;
    struct mn_span server_info;            /* JSON object */
    struct mn_span capabilities;           /* JSON object, may be empty */
    struct mn_span instructions;           /* text, may be empty */
    bool has[NAMES_LISTS];                 /* declares the capability, or has some */
    struct names_item *all;                /* one block for items and texts */
    struct names_item *items[NAMES_LISTS]; /* in the server's order */
    uint32_t counts[NAMES_LISTS];
    struct mn_map by_own[NAMES_KINDS];
    struct mn_arena arena; /* of what few services have: params of tools, NAMES_UI */
    uint8_t digests[NAMES_LISTS][NAMES_DIGEST_SIZE];
    struct mn_buf *lists[NAMES_LISTS][NAMES_ERAS]; /* first pages, made when first asked for */
};

struct names {
    struct mn_map services;
    struct mn_map tables[NAMES_KINDS]; /* tools, prompts: by exposed name; the others: by own, the
                                          first one of its listed services */
    struct names_item **listed[NAMES_LISTS]; /* in the order of the aggregated list */
    uint32_t listed_counts[NAMES_LISTS];
    struct names_service **sorted; /* all of them, by name */
    uint8_t digests[NAMES_LISTS][NAMES_DIGEST_SIZE];
    struct mn_buf *lists[NAMES_LISTS][NAMES_ERAS];
    struct mn_buf *page; /* the newest one that was no first page */
    bool is_stale;       /* the tables are older than the services */
    uint64_t dropped_count;
    size_t schemas_size;        /* bytes of names_item.schema */
    struct json_parser *parser; /* borrowed */
    struct mn_arena arena;      /* exposed names and the orders, until the next rebuild */
    struct mn_arena scratch;
    uint64_t seed;
};

/* [parser] is borrowed; [seed] is for hash tables. */
void names_init(struct names *names, struct json_parser *parser, uint64_t seed);
void names_done(struct names *names);

/* A service came, changed or went. Pointers into the old one die. */
void names_on_service(struct names *names, const struct call_service *service);

/* All of these bring the tables up to date first. NULL: there is no such thing. */
struct names_service *names_service(struct names *names, struct mn_span name);
struct names_item *names_tool(struct names *names, struct mn_span exposed);
struct names_item *names_prompt(struct names *names, struct mn_span exposed);
uint32_t names_listed(struct names *names, enum names_kind kind, struct names_item ***ret);

/* The member of a definition that is its key: "name", "uri", "uriTemplate". */
const char *names_key(enum names_kind kind);

/* An item of [service] by its own name. */
struct names_item *names_service_item(struct names_service *service, enum names_kind kind,
                                      struct mn_span own);

/* One page of the result of a list method: a JSON object, of all listed items (service == NULL) or
 * of one service. A page beyond the end is empty. Borrowed until the next change or call. */
struct mn_span names_list(struct names *names, struct names_service *service, enum names_kind kind,
                          enum names_era era, uint32_t page);

/* How many items that list has, over all its pages. */
uint32_t names_count(struct names *names, const struct names_service *service,
                     enum names_kind kind);

/* Changes when, and only when, that list does. A name without service has the digest zero. */
void names_digest(struct names *names, struct mn_span service_name, enum names_kind kind,
                  uint8_t ret[NAMES_DIGEST_SIZE]);

#endif
