/* audience.h: to which clients a server shows an item. A client declares what it can be asked, and
 * which extensions it knows; some servers list a tool only for those that can answer its questions,
 * or show its user interface.
 *
 * What a client can be asked is a set, AUDIENCE_* or-ed together. A table has a bit for each set:
 * bit i is set if the item is shown to clients whose set is i. So it can say anything, also that
 * one of two capabilities is enough, or that a tool is for those that have none. Zero, which no
 * item would have, stands for everybody.
 *
 * Extensions have names, of which there may be any number. An audience is a table for clients
 * without extensions, and for each extension that makes a difference the table of those that
 * declare it. Of a client that declares several the first that makes one decides. */
#ifndef AUDIENCE_H
#define AUDIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "node/json/json.h"
#include "proto/base/buf.h"

enum audience_capability {
    AUDIENCE_SAMPLING = 1,
    AUDIENCE_SAMPLING_TOOLS = 2, /* never without the one before */
    AUDIENCE_ELICITATION = 4,    /* by a form, which `elicitation: {}` means as well */
    AUDIENCE_ELICITATION_URL = 8,
    AUDIENCE_ROOTS = 16,
    AUDIENCE_TASKS = 32 /* what it is asked may become a task (2025-11-25); never alone */
};

#define AUDIENCE_SETS 64 /* as many as a table has bits */
#define AUDIENCE_FULL (AUDIENCE_SETS - 1)
#define AUDIENCE_ALL UINT64_MAX
#define AUDIENCE_NOBODY ((uint64_t)1 << AUDIENCE_SAMPLING_TOOLS) /* of a set that no client has */
#define AUDIENCE_DECLARED_MAX 16384 /* bytes of a ClientCapabilities object */
#define AUDIENCE_DEPTH 4 /* levels of a ClientCapabilities object that say what it declares */
#define AUDIENCE_EXTENSIONS_MAX 16 /* of a client, and of a list; more count as not declared */
#define AUDIENCE_NAME_MAX 256      /* bytes of an extension's name */
#define AUDIENCE_TEXT_MAX (AUDIENCE_NAME_MAX + 16) /* with what it is: "experimental" and such */
#define AUDIENCE_SETTINGS_MAX 1024                 /* bytes of what is declared of one */
#define AUDIENCE_UI "extensions/io.modelcontextprotocol/ui"
#define AUDIENCE_UI_SETTINGS "{\"mimeTypes\":[\"text/html;profile=mcp-app\"]}"
#define AUDIENCE_LATER "extensions/io.modelcontextprotocol/tasks"

/* What a client declared. */
struct audience_client {
    uint32_t set;
    uint32_t extensions_count;
    uint64_t extensions[AUDIENCE_EXTENSIONS_MAX]; /* ids */
};

/* What it declares of an extension. */
struct audience_extension {
    struct mn_span name;     /* "extensions/NAME" or "experimental/NAME" */
    struct mn_span settings; /* JSON object */
};

struct audience_with {
    uint64_t extension; /* id */
    struct mn_span name;
    uint64_t table; /* of clients that declare it */
};

struct audience {
    uint64_t table;
    const struct audience_with *with;
    uint32_t with_count;
};

/* What makes a difference to a list, or a server. */
struct audience_relevant {
    bool is_any; /* something is not for everybody */
    uint32_t set;
    uint32_t extensions_count;
    uint64_t extensions[AUDIENCE_EXTENSIONS_MAX];
};

/* The set that a ClientCapabilities object declares, kept so deep; NULL: none. */
uint32_t audience_set(const struct json *capabilities);

/* The same with its extensions. The user interfaces of MCP Apps count as declared by who can show
 * HTML, for that is what they are. */
struct audience_client audience_client(const struct json *capabilities);

/* By what a name is known: equal for equal names, everywhere. */
uint64_t audience_id(struct mn_span name);

/* The object that declares that set, and those extensions: of [count], the ones whose bit is set in
 * [chosen]. */
void audience_write(struct mn_writer *writer, uint32_t set, const struct audience_extension *list,
                    uint32_t count, uint32_t chosen);

bool audience_shows(const struct audience *audience, const struct audience_client *client);

/* Adds what makes a difference to [audience]. */
void audience_add_relevant(struct audience_relevant *relevant, const struct audience *audience);

/* The part of what a client declared that makes a difference: equal parts see equal lists. */
struct audience_client audience_part(const struct audience_client *client,
                                     const struct audience_relevant *relevant);
bool audience_is_equal(const struct audience_client *a, const struct audience_client *b);

static inline bool audience_has(uint64_t audience, uint32_t set)
{
    return audience == 0 || (audience >> set & 1) != 0;
}

/* The capabilities that make a difference to it: two sets with the same of these are the same. */
uint32_t audience_relevant(uint64_t audience);

/* What can be told from answers for some sets: [asked] are those, bit i for set i, and of these
 * [shown] had the item; set 0 is among them. More capabilities show what fewer do, unless they are
 * known to hide it. */
uint64_t audience_infer(uint64_t asked, uint64_t shown);

/* For people: "sampling or elicitation+roots", each enough alone; "not " before those that must not
 * be there. Nothing for an item that is for everybody. */
void audience_describe(struct mn_writer *writer, const struct audience *audience);

#endif
