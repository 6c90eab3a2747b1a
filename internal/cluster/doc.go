// Package cluster runs a private PostgreSQL cluster: for the demo, and for tests that want a real server which they may
// stop, crash and restart.
//
// A cluster is a folder, a port on 127.0.0.1 and a server process. New makes all three, Close takes them away. Between
// the two, Stop, Immediate, Kill, Start and Restart do to the server what an operator or an accident would, on the same
// port and data.
//
// Nothing outlives the process that made the cluster, however it ends: a guard process (guard.sh) notices that its
// maker is gone, stops the server and removes the folder.
//
// PostgreSQL refuses to run as root. Root's clusters run as the user postgres, or nobody where there is no postgres.
//
// The package must not know what a cluster is for: schemas, replication and the gateway are its callers'. It hands
// settings such as wal_level on without a look at them.
package cluster
