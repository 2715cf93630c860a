/* audience.h: to which clients a server shows an item. A client declares what it can be asked; some
 * servers list a tool only for those that can answer its questions.
 *
 * What a client declared is a set, AUDIENCE_* or-ed together. An audience is a table of all sets:
 * bit i is set if the item is shown to clients whose set is i. So it can say anything, also that
 * one of two capabilities is enough, or that a tool is for those that have none. Zero, which no
 * item would have, stands for everybody. */
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
#define AUDIENCE_DEPTH 4 /* levels of a ClientCapabilities object that say what it declares */

/* The set that such an object declares, kept so deep; NULL: none. */
uint32_t audience_set(const struct json *capabilities);

/* The object that declares that set. */
void audience_write(struct mn_writer *writer, uint32_t set);

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
void audience_describe(struct mn_writer *writer, uint64_t audience);

#endif
