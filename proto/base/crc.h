/* crc.h: CRC-32C (Castagnoli), which finds all torn and most rotten blocks of a disk. Not against
 * anybody who means harm. */
#ifndef MN_CRC_H
#define MN_CRC_H

#include "proto/base/bytes.h"

/* Of [bytes], going on from [crc] of what stands before them (0 at the start). */
uint32_t mn_crc32c(uint32_t crc, struct mn_span bytes);

#endif
