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
 * always be read. What the mesh itself lists (mesh://...) stays the mesh's, whoever else lists it;
 * what looks like a long form, as the resources of another mesh, has one of its own.
 *
 * What operators agreed on (curation.h) holds tools back: in quarantine, or with another definition
 * than the one that is pinned. They keep their names, so that nobody else gets them, but they are
 * in no list and cannot be called.
 *
 * A server may show an item only to clients that declare certain capabilities, or show them another
 * definition of it (audience.h). Each client is shown what its own server would show it, and each
 * list has its digest for each kind of client. Names depend on all items, so that they are the same
 * for all.
 *
 * Services that are not listed can be called under names made the same way, as far as listed ones
 * leave them free. Offers come from other nodes, so everything in them is judged: what is no valid
 * item is dropped and counted. */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "node/json/json.h"
#include "node/mcp/names/curation.h"
#include "node/mcp/wire/audience.h"
#include "node/mcp/wire/param_headers.h"
#include "proto/base/map.h"
#include "proto/base/memory.h"
#include "proto/call.h"

#define NAMES_TOOL_MAX 64            /* characters of a listed name */
#define NAMES_SERVICES_MAX 16384     /* more are ignored and counted */
#define NAMES_SERVICE_ITEMS_MAX 5000 /* of a kind, per service; more are dropped and counted */
#define NAMES_PAGE 1000              /* items of one page of a list */
#define NAMES_DIGEST_SIZE 16
#define NAMES_URI_PREFIX "meshnode://"
#define NAMES_UI_PREFIX \
    "ui://meshnode/"               /* of the long form of ui://..., which hosts know by that */
#define NAMES_VIEW_PREFIX "views/" /* an endpoint named so is a view: names_view.h */
#define NAMES_FIND "mesh_find"     /* tools of the mesh itself that the front answers, */
#define NAMES_CALL "mesh_call"     /* because they mean what their endpoint shows */
#define NAMES_CHANGES_MAX 32       /* noted until they are taken */
#define NAMES_SEEN_MAX 65536       /* tools whose definition is remembered */
#define NAMES_CANDIDATES_MAX 16    /* services that are asked for one URI */
#define NAMES_SCHEME_MAX 32        /* bytes of a URI's scheme, with its colon, that is remembered */

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

/* Why a tool is held back. */
enum names_held { NAMES_FREE = 0, NAMES_QUARANTINED, NAMES_CHANGED };
const char *names_held_name(enum names_held held); /* "ok", "quarantined", "changed" */

struct names_item {
    struct mn_map_entry by_exposed, by_own;
    struct names_service *service;
    struct mn_span exposed;      /* as clients of /mcp call it; empty: they cannot */
    struct mn_span own;          /* as its server calls it: name, URI, template */
    struct mn_span definition;   /* JSON object, as the server listed it */
    bool is_idempotent;          /* tool: may be executed again when its outcome is unknown */
    bool is_ambiguous;           /* shares its plain name or URI with another one */
    struct audience audience;    /* to whom it is shown */
    struct names_item *variants; /* what some see instead: the first one that is for them */
    uint32_t variants_count;
    bool has_digest; /* tool: its pin, once needed */
    uint8_t digest[CURATION_PIN_SIZE];
    enum names_held held;        /* tool */
    uint64_t chosen;             /* by the newest view that was built */
    struct mn_span ui;           /* tool: the resource that it names as its user interface */
    struct param_headers params; /* tool: arguments that modern clients must repeat in headers */
    struct schema *schema;       /* tool: of its arguments, once needed; see names_schema.h */
};

/* A list as clients that declared that see it, of those that not all see alike. */
struct names_shown {
    struct names_shown *next;
    struct audience_client client; /* as far as it makes a difference */
    uint32_t *indexes;             /* of its items in the list of all */
    uint32_t count;
    uint8_t digest[NAMES_DIGEST_SIZE];
    struct mn_buf *lists[NAMES_ERAS]; /* first pages, made when first asked for */
};

/* What there is of the lists of a service, a view, or all. Zero-initialised is nothing yet. */
struct names_lists {
    struct mn_buf *first[NAMES_LISTS][NAMES_ERAS]; /* first pages, made when first asked for */
    struct names_shown *shown[NAMES_LISTS];        /* made when first asked for */
};

struct names_service {
    struct mn_map_entry by_name;
    struct mn_span name; /* behind this struct */
    bool is_listed, is_conflict, is_kept;
    bool is_streaming; /* answers in a session are streams */
    bool has_updates;  /* declares subscriptions to resources */
    uint32_t providers_count;
    struct mn_span server_info;  /* JSON object */
    struct mn_span capabilities; /* JSON object, may be empty */
    struct mn_span instructions; /* text, may be empty */
    struct mn_span about;        /* JSON object: what else it says of itself; or empty */
    struct mn_span about_lists[NAMES_LISTS]; /* the same of its lists */
    bool has[NAMES_LISTS];                   /* declares the capability, or has some */
    struct names_item *all;                  /* one block for items and texts */
    struct names_item *items[NAMES_LISTS];   /* in the server's order */
    uint32_t counts[NAMES_LISTS];
    struct audience_relevant relevant[NAMES_LISTS]; /* what makes a difference to the list */
    struct mn_map by_own[NAMES_KINDS];
    struct audience_with *extensions; /* that its offer names, by their place there */
    uint32_t extensions_count;
    mn_id *meshes; /* what it lists comes from there */
    uint32_t meshes_count;
    struct mn_arena arena; /* of what few services have: params of tools, NAMES_UI */
    uint8_t digests[NAMES_LISTS][NAMES_DIGEST_SIZE];
    uint8_t digest_all[NAMES_DIGEST_SIZE]; /* of its tools, if none were held back */
    struct names_item **shown;             /* tools; NULL: all of them */
    uint32_t shown_count;
    struct names_lists lists;
};

/* What a client sees: one service, one view, or (both NULL) all there is; of that, what is shown to
 * clients that declare what it does. */
struct names_endpoint {
    struct names_service *service;
    struct names_view *view;
    struct audience_client client;
};

/* A tool that its server defines otherwise than before. */
struct names_change {
    struct names_change *next;
    struct mn_span service, tool; /* behind this struct */
};

/* Who is asked for URIs of a scheme that nobody lists, of names_route.c. */
struct names_guess {
    uint8_t scheme[NAMES_SCHEME_MAX];
    size_t scheme_size; /* 0: of none */
    struct names_service *services[NAMES_CANDIDATES_MAX];
    uint32_t services_count;
};

struct names {
    struct mn_map services;
    struct curation curation;
    struct mn_map views; /* struct names_view, made when first asked for */
    struct mn_map seen;  /* definitions of tools as they were last */
    struct names_change *changes;
    uint32_t changes_count;
    uint64_t choices_count;
    struct mn_map tables[NAMES_KINDS]; /* tools, prompts: by exposed name; the others: by own, the
                                          first one of its listed services */
    struct names_item **listed[NAMES_LISTS]; /* in the order of the aggregated list */
    uint32_t listed_counts[NAMES_LISTS];
    struct names_service **sorted;                  /* all of them, by name */
    struct audience_relevant relevant[NAMES_LISTS]; /* as of a service */
    uint8_t digests[NAMES_LISTS][NAMES_DIGEST_SIZE];
    struct names_lists lists;
    struct names_guess guess; /* the newest one */
    struct mn_buf *page;      /* the newest one that was no first page */
    bool is_stale;            /* the tables are older than the services */
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

/* What a service offers, without bringing the tables up to date: what its items are called there is
 * not known. NULL: there is no such service. */
const struct names_service *names_offered(const struct names *names, struct mn_span name);

/* The member of a definition that is its key: "name", "uri", "uriTemplate". */
const char *names_key(enum names_kind kind);

/* An item of [service] by its own name. */
struct names_item *names_service_item(struct names_service *service, enum names_kind kind,
                                      struct mn_span own);

/* The same of all services, for rules and people: held back or not, listed or not. NULL: none. */
struct names_item *names_tool_of(struct names *names, struct mn_span service, struct mn_span tool);

/* One page of the result of a list method: a JSON object. A page beyond the end is empty. Borrowed
 * until the next change or call. */
struct mn_span names_list(struct names *names, struct names_endpoint at, enum names_kind kind,
                          enum names_era era, uint32_t page);

/* How many items that list has, over all its pages. */
uint32_t names_count(struct names *names, struct names_endpoint at, enum names_kind kind);

/* Changes when, and only when, that list does, as clients that declare that see it.
 * [endpoint]: name of a service, "views/NAME", or empty for /mcp. What does not exist has the
 * digest zero. */
void names_digest(struct names *names, struct mn_span endpoint,
                  const struct audience_client *client, enum names_kind kind,
                  uint8_t ret[NAMES_DIGEST_SIZE]);

/* Whether it is not the same for all clients. */
static inline bool names_depends(const struct names_item *item)
{
    return item->audience.table != 0 || item->audience.with_count > 0 || item->variants_count > 0;
}

/* [item] as such a client sees it, be it shown to it or not. */
struct names_item *names_as_seen(struct names_item *item, const struct audience_client *client);

/* What operators agreed on, all of it. */
void names_curate(struct names *names, const struct curation_pair *pairs, uint32_t count);

/* The oldest change that was not taken yet; the caller frees it with mn_free(). NULL: none. */
struct names_change *names_take_change(struct names *names);

/* The pin of a tool's definition; false: it has none, being too large to read. */
bool names_pin(struct names *names, struct names_item *tool, uint8_t ret[CURATION_PIN_SIZE]);

/* Why a call of that tool is refused, known or not. */
enum names_held names_is_held(struct names *names, struct mn_span service, struct mn_span tool);

/* The name of a tool or prompt that nobody else can have, in [arena]. */
struct mn_span names_hashed(struct mn_arena *arena, const struct names_item *item);

/* It has the form of a long one, whether or not a server here is named so. */
bool names_is_long(struct mn_span uri);

/* The long form of a URI, in [arena]. */
struct mn_span names_long_uri(struct mn_arena *arena, struct mn_span service, struct mn_span uri);

#endif
