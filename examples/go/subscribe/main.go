// Follows a topic filter. Usage: subscribe [filter [cursor]]
package main

import (
	"fmt"
	"log"
	"os"

	"example/fleet"
	"example/publishv1"
)

func main() {
	request := &publishv1.SubscribeRequest{Filters: []string{"orders/#"}}
	if len(os.Args) > 1 {
		request.Filters = os.Args[1:2]
	}
	if len(os.Args) > 2 {
		request.After = os.Args[2]
	}
	client, ctx := fleet.Connect()
	stream, err := client.Subscribe(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			log.Fatal(err)
		}
		// Keep the newest cursor: given as After, it resumes right behind what was seen.
		if delivery := response.GetDelivery(); delivery != nil {
			fmt.Println(delivery.Publication.Topic, string(delivery.Publication.Payload))
		} else {
			fmt.Println("cursor", response.Cursor)
		}
	}
}
