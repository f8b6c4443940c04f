/* Flows of greatest gain in small networks: the exact half of the best deal. Whole numbers only.
 *
 * Units flow from node 0 to node 1. Each path that is added is one of greatest gain in what is
 * left of the network, so after every step no cycle can be improved and the flow is the best of
 * its size; adding stops when a path gains nothing. Capacities are bottlenecks of a path: 5,000
 * units on an arc cost what one costs. A gain has a second part, which settles ties only. */
#ifndef CHECKLANE_FLOW_H
#define CHECKLANE_FLOW_H

#include <stdint.h>

#include "invariant.h"

#define FLOW_SOURCE 0
#define FLOW_SINK 1
/* 1,024 runs, their links in chains and the places: 4,096 nodes * 40 B = 160 KiB. */
#define FLOW_NODES_MAX 4096
/* Arcs in pairs, there and back: 32,768 * 40 B = 1.3 MiB at most. */
#define FLOW_ARCS_MAX (32 * 1024)
/* Gain of a unit that must flow: above any saving on a path, 8 of them inside 63 bits. */
#define FLOW_MUST ((int64_t)1 << 60)

typedef struct flow_arc {
    int64_t capacity;         /* left */
    int64_t gain;
    int64_t second_gain;
    uint32_t to;
    uint32_t next;            /* arc of the same node; 0 ends: arc 0 is never used */
} flow_arc_t;

typedef struct flow {
    uint32_t node_count;
    uint32_t arc_count;
    uint32_t is_full;         /* a node or arc found no room: the network is void */
    uint32_t is_cut;          /* the step limit was reached: the flow is not the best */
    uint64_t steps;           /* arcs looked at */
    uint64_t step_limit;      /* at so many steps a search for a path ends; 0: never */
    uint32_t first_arc[FLOW_NODES_MAX];
    uint32_t arc_in[FLOW_NODES_MAX];
    uint32_t queue[FLOW_NODES_MAX];
    uint8_t is_queued[FLOW_NODES_MAX];
    int64_t gain[FLOW_NODES_MAX];
    int64_t second_gain[FLOW_NODES_MAX];
    flow_arc_t arcs[FLOW_ARCS_MAX];
} flow_t;

static inline uint32_t flow_add_node(flow_t *flow)
{
    if (flow->node_count == FLOW_NODES_MAX) {
        flow->is_full = 1;
        return FLOW_SINK;
    }
    flow->first_arc[flow->node_count] = 0;
    return flow->node_count++;
}

/* An empty network with source and sink. The step count goes on. */
static inline void flow_begin(flow_t *flow)
{
    flow->node_count = 0;
    flow->arc_count = 2;
    flow->is_full = 0;
    flow->is_cut = 0;
    flow->step_limit = 0;
    flow_add_node(flow);
    flow_add_node(flow);
}

/* Returns the arc; the one at its number + 1 leads back and holds what flows. */
static inline uint32_t flow_add_arc(flow_t *flow, uint32_t from, uint32_t to, int64_t capacity,
                                    int64_t gain, int64_t second_gain)
{
    if (flow->arc_count + 2 > FLOW_ARCS_MAX) {
        flow->is_full = 1;
        return 0;
    }
    uint32_t arc = flow->arc_count;
    flow->arc_count += 2;
    flow->arcs[arc] = (flow_arc_t){capacity, gain, second_gain, to, flow->first_arc[from]};
    flow->first_arc[from] = arc;
    flow->arcs[arc + 1] = (flow_arc_t){0, -gain, -second_gain, from, flow->first_arc[to]};
    flow->first_arc[to] = arc + 1;
    return arc;
}

static inline int64_t flow_on(const flow_t *flow, uint32_t arc)
{
    return flow->arcs[arc + 1].capacity;
}

static inline void flow_relax(flow_t *flow, uint32_t node, uint32_t *tail, uint32_t *waiting)
{
    for (uint32_t arc = flow->first_arc[node]; arc != 0; arc = flow->arcs[arc].next) {
        const flow_arc_t *way = &flow->arcs[arc];
        flow->steps += 1;
        if (way->capacity == 0) continue;
        int64_t gain = flow->gain[node] + way->gain;
        int64_t second_gain = flow->second_gain[node] + way->second_gain;
        uint32_t to = way->to;
        if (flow->arc_in[to] != 0 || to == FLOW_SOURCE) {
            if (to == FLOW_SOURCE || gain < flow->gain[to]) continue;
            if (gain == flow->gain[to] && second_gain <= flow->second_gain[to]) continue;
        }
        flow->gain[to] = gain;
        flow->second_gain[to] = second_gain;
        flow->arc_in[to] = arc;
        if (flow->is_queued[to] || to == FLOW_SINK) continue;
        flow->is_queued[to] = 1;
        flow->queue[*tail] = to;
        *tail = *tail + 1 == flow->node_count ? 0 : *tail + 1;
        *waiting += 1;
    }
}

/* Finds a path of greatest gain by corrections in queue order. Returns 0 when none gains. */
static inline int flow_find_path(flow_t *flow)
{
    for (uint32_t node = 0; node < flow->node_count; node++) {
        flow->arc_in[node] = 0;
        flow->is_queued[node] = 0;
    }
    flow->gain[FLOW_SOURCE] = 0;
    flow->second_gain[FLOW_SOURCE] = 0;
    flow->queue[0] = FLOW_SOURCE;
    uint32_t head = 0;
    uint32_t tail = flow->node_count > 1 ? 1 : 0;
    uint32_t waiting = 1;
    while (waiting > 0) {
        if (flow->step_limit != 0 && flow->steps >= flow->step_limit) {
            flow->is_cut = 1;
            return 0;
        }
        uint32_t node = flow->queue[head];
        head = head + 1 == flow->node_count ? 0 : head + 1;
        waiting -= 1;
        flow->is_queued[node] = 0;
        flow_relax(flow, node, &tail, &waiting);
    }
    return flow->arc_in[FLOW_SINK] != 0 && flow->gain[FLOW_SINK] > 0;
}

/* Adds paths until none gains. No cycle of the network as built may gain. Cost: paths * nodes *
 * arcs at worst; paths follow arcs, not units. */
static inline void flow_solve(flow_t *flow)
{
    INVARIANT(!flow->is_full);
    while (flow_find_path(flow)) {
        int64_t units = INT64_MAX;
        for (uint32_t node = FLOW_SINK; node != FLOW_SOURCE;) {
            uint32_t arc = flow->arc_in[node];
            if (flow->arcs[arc].capacity < units) units = flow->arcs[arc].capacity;
            node = flow->arcs[arc ^ 1].to;
        }
        INVARIANT(units > 0);
        for (uint32_t node = FLOW_SINK; node != FLOW_SOURCE;) {
            uint32_t arc = flow->arc_in[node];
            flow->arcs[arc].capacity -= units;
            flow->arcs[arc ^ 1].capacity += units;
            node = flow->arcs[arc ^ 1].to;
        }
    }
}

#endif
