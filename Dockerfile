FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /reactive-gw .

FROM alpine:3
RUN adduser -D -H -u 10001 gateway
USER gateway
COPY --from=build /reactive-gw /usr/local/bin/reactive-gw
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=2s --start-period=30s CMD wget -q -O /dev/null http://127.0.0.1:9090/readyz
ENTRYPOINT ["reactive-gw"]
