/* names_held.h: tools that are held back by what operators agreed on, and tools that changed. Part
 * of names.c; see names.h for what users of the tables need. */
#ifndef NAMES_HELD_H
#define NAMES_HELD_H

#include "node/mcp/names/names.h"

/* Judges the tools of a service anew, before the tables are built; true: its list may be another
 * one than before. */
bool names_held_judge(struct names *names, struct names_service *service);

/* A service came with its tools: notes those that are defined otherwise than before. */
void names_held_notice(struct names *names, struct names_service *service);
void names_held_done(struct names *names);

#endif
