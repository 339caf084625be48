package client

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"time"

	"pakhuis/benches/peers"
)

var formToken = regexp.MustCompile(`name="token" value="([^"]*)"`)

// Browser signs in on the pages of ours, and gives what a browser would read them with.
func (client *Client) Browser() (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{Transport: client.http.Transport, Jar: jar}
	response, err := browser.Get(client.base + "/ui/login")
	if err != nil {
		return nil, err
	}
	form, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	token := formToken.FindSubmatch(form)
	if token == nil {
		return nil, fmt.Errorf("no token in the sign-in form")
	}
	fields := url.Values{"username": {peers.User}, "password": {peers.Password}, "token": {string(token[1])}}
	response, err = browser.PostForm(client.base+"/ui/login", fields)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sign-in: %s", response.Status)
	}
	return browser, nil
}

// Page reads one page of ours to its end.
func (client *Client) Page(browser *http.Client, path string) error {
	_, err := client.page(browser, path)
	return err
}

// UntilRead asks for a page until the server has read what is on it, so many rows, for ten minutes at most.
func (client *Client) UntilRead(browser *http.Client, path string, rows int) error {
	for wait := 0; wait < 600; wait++ {
		text, err := client.page(browser, path)
		if err != nil {
			return err
		}
		found := bytes.Count(text, []byte(`<th scope="row">`))
		if found == rows && !bytes.Contains(text, []byte("still being read")) {
			return nil
		}
		time.Sleep(time.Second)
	}
	return fmt.Errorf("%s has not %d rows after ten minutes", path, rows)
}

func (client *Client) page(browser *http.Client, path string) ([]byte, error) {
	response, err := browser.Get(client.base + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}
