// Package reactive attaches the gateway to a Go server of your own: the gateway is an http.Handler beside your others, and
// what the configuration says in expressions can be Go functions. The smallest program:
//
//	func main() {
//		gw, err := reactive.Start(context.Background(), reactive.Options{
//			DatabaseURL: os.Getenv("DATABASE_URL"),
//			Config:      "allowAnonymous: true", // everybody may read every table of the publication
//		})
//		if err != nil {
//			log.Fatal(err)
//		}
//		http.Handle("/ws", gw)
//		log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
//	}
//
// Config is the text of a reactive.yaml, so everything that the program reactive-gw can do can be done here. The functions
// go on top:
//
//	Authenticate   who a client is           instead of authenticate
//	Authorize      who may subscribe         instead of a channel's authorize
//	FilterRow      who sees which rows       instead of a channel's filterRow
//	ResolveScopes  where a row belongs       instead of a channel's resolveScopes
//	ParseNotify    what a notification says  instead of mtbReactive's JSON
//
// Whatever they do wrong shows clients too little, never too much: an error or a panic is a no, and where nobody can tell
// which clients have a row, their views begin anew. It is logged, and the server of yours goes on.
//
// The package must not decide anything itself: it hands over what it is given, and knows neither changes nor sockets.
package reactive
