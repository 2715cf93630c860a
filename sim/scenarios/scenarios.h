/* scenarios.h: runs of a mesh that look for something: each instead of sim_run(), on a world that
 * was made and not booted. True: all held. */
#ifndef SIM_SCENARIOS_H
#define SIM_SCENARIOS_H

#include "sim/mesh/sim.h"

bool sim_run_decisions(struct sim *sim); /* signed decisions, agreed on or not */
bool sim_run_detect(struct sim *sim);    /* how fast failures are noticed */
bool sim_run_names(struct sim *sim);     /* whose each server's name is */
bool sim_run_pending(struct sim *sim);   /* who is let in without a token */
bool sim_run_polls(struct sim *sim);     /* streams that end in the middle of a call */
bool sim_run_rules(struct sim *sim);     /* tools that are approved, or in quarantine */
bool sim_run_sessions(struct sim *sim);  /* sessions that go on at other nodes */
bool sim_run_shy(struct sim *sim);       /* tools that servers show only to some clients */
bool sim_run_talks(struct sim *sim);     /* servers that ask, report, keep tasks, tell of changes */
bool sim_run_trust(struct sim *sim);     /* who is in and who is out for the life of a mesh */
bool sim_run_views(struct sim *sim);     /* chosen subsets of the tools, under names of their own */
bool sim_run_voters(struct sim *sim);    /* who agrees while voters die for good */

#endif
