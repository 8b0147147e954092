// Package fleet connects the examples to a Pushfleet.
package fleet

import (
	"context"
	"log"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"example/publishv1"
)

// Connect gives a client, and a context with the token for its calls.
func Connect() (publishv1.PublishServiceClient, context.Context) {
	url := os.Getenv("PUSHFLEET_GRPC_URL")
	if url == "" {
		url = "http://127.0.0.1:50051"
	}
	scheme, address, _ := strings.Cut(url, "://")
	security := insecure.NewCredentials()
	if scheme == "https" {
		security = credentials.NewTLS(nil)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(security))
	if err != nil {
		log.Fatal(err)
	}
	token := "Bearer " + os.Getenv("PUSHFLEET_TOKEN")
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", token)
	return publishv1.NewPublishServiceClient(connection), ctx
}
