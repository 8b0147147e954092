// Publishes three orders. Usage: publish [topic]
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"time"

	"example/fleet"
	"example/publishv1"
)

func main() {
	topic := "orders/42"
	if len(os.Args) > 1 {
		topic = os.Args[1]
	}
	var drafts []*publishv1.Draft
	for total := 1; total <= 3; total++ {
		drafts = append(drafts, &publishv1.Draft{
			Id:          rand.Text(), // made once: a retry with the same id stores nothing twice
			Topic:       topic,
			ContentType: "application/json",
			Payload:     fmt.Appendf(nil, `{"total":%d}`, total),
		})
	}
	client, ctx := fleet.Connect()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	response, err := client.PublishBatch(ctx, &publishv1.PublishBatchRequest{Drafts: drafts})
	if err != nil {
		log.Fatal(err)
	}
	for _, result := range response.Results {
		if refusal := result.GetRefusal(); refusal != nil {
			log.Fatalf("%s: %s", refusal.Code, refusal.Message)
		}
		fmt.Println("stored", result.GetReceipt().Id)
	}
}
