// Package fanout decides who gets what: it keeps the subscriptions of all clients in an index from (channel, scope) to
// subscribers, turns the changes of each transaction into the deltas of the views that they touch, and puts the frames
// into the clients' queues.
//
// A subscription is a view: the rows of a table whose scope column has a value. A row that enters the view is an
// afterInsert, one that stays an afterUpdate, one that leaves an afterDelete, whatever happened to the row itself.
//
// It knows rows and frames. It must not know where rows come from (PostgreSQL) nor how frames leave (sockets).
package fanout
