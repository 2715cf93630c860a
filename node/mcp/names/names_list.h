/* names_list.h: the lists as clients see them, page by page, each client what it is shown. Part of
 * names.c; see names.h for what users of the lists need. */
#ifndef NAMES_LIST_H
#define NAMES_LIST_H

#include "node/mcp/names/names.h"

#define NAMES_SHOWN_MAX 64 /* kinds of clients for which a list is kept; the oldest one goes */

/* Adds what makes a difference to whether and how [item] is shown. */
void names_add_relevant(struct audience_relevant *relevant, const struct names_item *item);

/* The items are others now, or go. */
void names_lists_drop(struct names_lists *lists);

#endif
