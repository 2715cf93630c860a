/* bft_world.h: what bft_world.c (hosts, disks, net) and bft_plan.c (what goes wrong with them)
 * offer each other. */
#ifndef BFT_WORLD_H
#define BFT_WORLD_H

#include "sim/bft/bft_sim.h"

/* ---- bft_world.c ---- */
void bft_host_start(struct bft_host *host); /* it may be up */
void bft_host_crash(struct bft_host *host);
void bft_host_restart(struct bft_world *world, struct bft_event *event);
void bft_net_send(struct bft_world *world, uint32_t from, uint32_t to, struct mn_buf *buf);
void bft_record_free(struct bft_record *record);

/* ---- bft_plan.c ---- */
void bft_plan_start(struct bft_world *world);
void bft_plan_stop(struct bft_world *world);
/* Something is on its way to the disk: a good moment. */
void bft_plan_on_write(struct bft_host *host);

#endif
