/* faults.h: what can go wrong, each with how it is mended. A fault picks its victim and its size
 * from the plan's generator. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "sim/mesh/sim.h"

struct sim_fault {
    const char *name;
    void (*strike)(struct sim *sim);
};

extern const struct sim_fault sim_faults[];

#define SIM_FAULTS_COUNT 22

#endif
